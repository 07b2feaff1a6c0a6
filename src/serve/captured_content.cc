// SPDX-License-Identifier: Apache-2.0
#include "serve/captured_content.h"

#include <nlohmann/json.hpp>
#include <utility>
#include <variant>

namespace paring::serve {

namespace {

using Json = nlohmann::ordered_json;

std::string json_text(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string text_of(Prompt& prompt, const ServedModel& model) {
  if (auto* text = std::get_if<std::string>(&prompt)) return std::move(*text);
  const auto decoded = model.tokenizer().decode(std::get<std::vector<std::int32_t>>(prompt),
                                                {.skip_special = false});
  return decoded ? *decoded : std::string();
}

}  // namespace

CapturedContent::CapturedContent(GenerateRequest& request, const ServedModel& model,
                                 monitor::ContentRoom room)
    : room_(std::move(room)) {
  Prompt& prompt = request.prompts.front();
  if (auto* chat = std::get_if<text::ChatInput>(&prompt)) {
    is_chat_ = true;
    prompt_ = std::move(chat->messages);
  } else {
    prompt_ = json_text(text_of(prompt, model));
  }
  hold(prompt_.size());
}

void CapturedContent::hold(std::size_t bytes) {
  has_room_ = has_room_ && room_.add(bytes);
  if (has_room_) return;
  std::string().swap(prompt_);
  std::string().swap(text_);
  std::string().swap(reasoning_);
  calls_.clear();
}

void CapturedContent::add(const std::vector<AnswerEvent>& events) {
  for (const AnswerEvent& event : events) {
    if (event.choice != 0) continue;
    std::size_t bytes = event.delta.content.size() + event.delta.reasoning.size();
    for (const ToolCallDelta& call : event.delta.tool_calls) {
      bytes += call.id.size() + call.name.size() + call.arguments.size();
    }
    if (has_room_) hold(bytes);
    if (!has_room_) return;
    text_ += event.delta.content;
    reasoning_ += event.delta.reasoning;
    for (const ToolCallDelta& call : event.delta.tool_calls) {
      if (calls_.empty() || calls_.back().index != call.index) {
        calls_.push_back(call);
      } else {
        calls_.back().arguments += call.arguments;
      }
    }
  }
}

std::optional<store::TrafficContent> CapturedContent::take() {
  if (!has_room_) return std::nullopt;
  store::TrafficContent content;
  content.prompt = std::move(prompt_);
  if (!is_chat_) {
    content.answer = json_text(text_);
    return content;
  }
  Json answer = {{"role", "assistant"}, {"content", std::move(text_)}};
  if (!reasoning_.empty()) answer["reasoning_content"] = std::move(reasoning_);
  for (ToolCallDelta& call : calls_) {
    answer["tool_calls"].push_back(
        {{"id", std::move(call.id)},
         {"type", "function"},
         {"function", {{"name", std::move(call.name)}, {"arguments", std::move(call.arguments)}}}});
  }
  content.answer = json_text(answer);
  return content;
}

}  // namespace paring::serve
