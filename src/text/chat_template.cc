// SPDX-License-Identifier: Apache-2.0
// Limits are checked here, before anything reaches the bridge.
#include "text/chat_template.h"

#include <chrono>
#include <utility>
#include <vector>

#include "text/bridge_calls.h"

namespace paring::text {

struct ChatTemplate::State {
  TemplateHandle handle;
  std::string bos_token;
  std::string eos_token;
};

namespace {

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
  return {};
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
                                             kTemplateOutputBytesMax};
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
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return render_at(messages, add_generation_prompt,
                   std::chrono::duration_cast<std::chrono::seconds>(now).count());
}

Result<std::string> ChatTemplate::render_at(std::span<const ChatMessage> messages,
                                            bool add_generation_prompt, std::int64_t now) const {
  PARING_TRY_VOID(check_messages(messages));
  std::vector<paring_bridge_message> slices;
  slices.reserve(messages.size());
  for (const ChatMessage& message : messages) {
    slices.push_back({bridge_slice(message.role), bridge_slice(message.content)});
  }
  const paring_bridge_render render{slices.data(),
                                    slices.size(),
                                    bridge_slice(state_->bos_token),
                                    bridge_slice(state_->eos_token),
                                    now,
                                    add_generation_prompt};
  paring_bridge_buffer buffer{};
  PARING_TRY_VOID(
      bridge_result(paring_bridge_template_render(state_->handle.get(), &render, &buffer)));
  const void* data = buffer.data;
  std::string text(static_cast<const char*>(data), buffer.size);
  paring_bridge_buffer_free(buffer);
  return text;
}

}  // namespace paring::text
