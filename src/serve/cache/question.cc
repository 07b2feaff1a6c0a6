// SPDX-License-Identifier: Apache-2.0
#include "serve/cache/question.h"

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <variant>

namespace paring::serve {

namespace {

using Json = nlohmann::ordered_json;

bool is_instruction(const Json& message) {
  const std::string role = message.value("role", "");
  return role == "system" || role == "developer";
}

}  // namespace

std::optional<PlanQuestion> question_of(const GenerateRequest& request) {
  if (!request.uses_semantic_cache.value_or(true)) return std::nullopt;
  if (request.prompts.size() != 1 || request.samples != 1 || request.logprobs ||
      request.echoes_prompt || request.truncation != Truncation::kRefuse) {
    return std::nullopt;
  }
  const auto* chat = std::get_if<text::ChatInput>(&request.prompts.front());
  if (chat == nullptr || !chat->tools.empty()) return std::nullopt;
  Json messages = Json::parse(chat->messages, nullptr, false);
  if (!messages.is_array() || messages.empty()) return std::nullopt;
  for (std::size_t i = 0; i + 1 < messages.size(); ++i) {
    if (!messages[i].is_object() || !is_instruction(messages[i])) return std::nullopt;
  }
  Json& last = messages.back();
  if (!last.is_object() || last.value("role", "") != "user" || !last.contains("content") ||
      !last["content"].is_string()) {
    return std::nullopt;
  }
  PlanQuestion question;
  question.text = last["content"].get<std::string>();
  last["content"] = "";
  // An array, so that no two conversations give the same text.
  question.frame = Json::array({std::move(messages), chat->variables,
                                request.max_tokens ? Json(*request.max_tokens) : Json()})
                       .dump(-1, ' ', false, Json::error_handler_t::replace);
  return question;
}

}  // namespace paring::serve
