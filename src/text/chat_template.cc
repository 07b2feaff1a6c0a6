// SPDX-License-Identifier: Apache-2.0
// Limits are checked here, before anything reaches the bridge.
#include "text/chat_template.h"

#include <chrono>
#include <nlohmann/json.hpp>
#include <utility>

#include "text/bridge_calls.h"
#include "text/tokenizer_file.h"
#include "text/unicode.h"

namespace paring::text {

struct ChatTemplate::State {
  TemplateHandle handle;
  std::string bos_token;
  std::string eos_token;
};

namespace {

using Json = nlohmann::ordered_json;

Result<void> check_messages(std::span<const ChatMessage> messages) {
  if (messages.size() > kChatMessagesMax) {
    return invalid_argument("the chat has " + std::to_string(messages.size()) +
                            " messages, the limit is " + std::to_string(kChatMessagesMax));
  }
  std::size_t bytes = 0;
  for (const ChatMessage& message : messages) bytes += message.role.size() + message.content.size();
  if (bytes > kChatBytesMax) {
    return invalid_argument("the chat has " + std::to_string(bytes) + " bytes, the limit is " +
                            std::to_string(kChatBytesMax));
  }
  for (std::size_t i = 0; i < messages.size(); ++i) {
    for (const std::string* text : {&messages[i].role, &messages[i].content}) {
      if (is_well_formed_utf8(*text)) continue;
      return invalid_argument("message " + std::to_string(i) + " is not valid UTF-8");
    }
  }
  return {};
}

// `json` is one whole value of the kind that begins with `opening`.
Result<void> check_part(const std::string& json, const char* name, char opening) {
  PARING_TRY_VOID(check_json_limits(json, name, kChatLimits));
  const std::size_t begin = json.find_first_not_of(" \t\r\n");
  if (begin != std::string::npos && json[begin] == opening && Json::accept(json)) return {};
  return invalid_argument("the " + std::string(name) + " of the chat are not a JSON " +
                          (opening == '[' ? "list" : "object"));
}

std::int64_t seconds_now() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::seconds>(now).count();
}

}  // namespace

ChatTemplate::ChatTemplate(std::unique_ptr<const State> state) : state_(std::move(state)) {}
ChatTemplate::~ChatTemplate() = default;

Result<std::shared_ptr<const ChatTemplate>> ChatTemplate::create(std::string_view jinja_source,
                                                                 std::string bos_token,
                                                                 std::string eos_token) {
  if (jinja_source.size() > kTemplateBytesMax) {
    return invalid_argument("the chat template has " + std::to_string(jinja_source.size()) +
                            " bytes, the limit is " + std::to_string(kTemplateBytesMax));
  }
  const paring_bridge_template_limits limits{kTemplateFuel, kTemplateRecursionMax,
                                             kTemplateOutputBytesMax, kTemplateValueBytesMax,
                                             kTemplateTimeMs};
  paring_bridge_template* handle = nullptr;
  PARING_TRY_VOID(
      bridge_result(paring_bridge_template_create(bridge_slice(jinja_source), &limits, &handle)));
  auto state = std::make_unique<State>();
  state->handle.reset(handle);
  state->bos_token = std::move(bos_token);
  state->eos_token = std::move(eos_token);
  return std::shared_ptr<const ChatTemplate>(new ChatTemplate(std::move(state)));
}

Result<std::string> ChatTemplate::render(std::span<const ChatMessage> messages,
                                         bool add_generation_prompt) const {
  return render_at(messages, add_generation_prompt, seconds_now());
}

Result<std::string> ChatTemplate::render_at(std::span<const ChatMessage> messages,
                                            bool add_generation_prompt, std::int64_t now) const {
  PARING_TRY_VOID(check_messages(messages));
  Json list = Json::array();
  for (const ChatMessage& message : messages) {
    list.push_back({{"role", message.role}, {"content", message.content}});
  }
  return render_context(Json{{"messages", std::move(list)}}.dump(), add_generation_prompt, now);
}

Result<std::string> ChatTemplate::render(const ChatInput& chat, bool add_generation_prompt) const {
  return render_at(chat, add_generation_prompt, seconds_now());
}

Result<std::string> ChatTemplate::render_at(const ChatInput& chat, bool add_generation_prompt,
                                            std::int64_t now) const {
  PARING_TRY_VOID(check_part(chat.messages, "messages", '['));
  // Later keys of an object win: variables cannot replace the messages or tools.
  std::string context = "{";
  if (!chat.variables.empty()) {
    PARING_TRY_VOID(check_part(chat.variables, "variables", '{'));
    const std::size_t begin = chat.variables.find('{') + 1;
    const std::string inside = chat.variables.substr(begin, chat.variables.rfind('}') - begin);
    if (inside.find_first_not_of(" \t\r\n") != std::string::npos) context += inside + ",";
  }
  if (!chat.tools.empty()) {
    PARING_TRY_VOID(check_part(chat.tools, "tools", '['));
    context += "\"tools\":" + chat.tools + ",";
  }
  context += "\"messages\":" + chat.messages + "}";
  return render_context(context, add_generation_prompt, now);
}

Result<std::string> ChatTemplate::render_context(std::string_view context,
                                                 bool add_generation_prompt,
                                                 std::int64_t now) const {
  const paring_bridge_render render{bridge_slice(context), bridge_slice(state_->bos_token),
                                    bridge_slice(state_->eos_token), now, add_generation_prompt};
  paring_bridge_buffer buffer{};
  PARING_TRY_VOID(
      bridge_result(paring_bridge_template_render(state_->handle.get(), &render, &buffer)));
  const void* data = buffer.data;
  std::string text(static_cast<const char*>(data), buffer.size);
  paring_bridge_buffer_free(buffer);
  return text;
}

}  // namespace paring::text
