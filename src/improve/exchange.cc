// SPDX-License-Identifier: Apache-2.0
#include "improve/exchange.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "improve/detail/json_depth.h"
#include "monitor/content_filter.h"
#include "text/chat_request.h"

namespace paring::improve {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kCutRole = "cut";

std::string text_of(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string string_at(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

// Arguments as text: objects of every shape in one column are what readers of tables stumble over.
Json with_argument_texts(Json calls) {
  for (Json& call : calls) {
    const auto function = call.is_object() ? call.find("function") : call.end();
    if (!call.is_object() || function == call.end() || !function->is_object()) continue;
    const auto arguments = function->find("arguments");
    if (arguments != function->end() && !arguments->is_string()) *arguments = text_of(*arguments);
  }
  return calls;
}

bool has_calls(const Json& message) {
  const auto calls = message.find("tool_calls");
  return calls != message.end() && calls->is_array() && !calls->empty();
}

Result<void> read_messages(const std::string& prompt, Exchange& exchange) {
  PARING_TRY(const text::ChatInput chat,
             text::read_chat({.messages = prompt, .tools = {}, .variables = {}}));
  Json messages = Json::array();
  for (const Json& given : Json::parse(chat.messages)) {
    Json message = {{"role", string_at(given, "role")}, {"content", string_at(given, "content")}};
    exchange.turns.push_back({message["role"], message["content"]});
    if (const std::string name = string_at(given, "name"); !name.empty()) message["name"] = name;
    if (has_calls(given)) message["tool_calls"] = with_argument_texts(given["tool_calls"]);
    if (const std::string id = string_at(given, "tool_call_id"); !id.empty()) {
      message["tool_call_id"] = id;
    }
    exchange.has_tools |= has_calls(given) || exchange.turns.back().role == "tool";
    exchange.is_prompt_cut |= exchange.turns.back().role == kCutRole || has_cut(text_of(message));
    messages.push_back(std::move(message));
  }
  exchange.prompt = text_of(messages);
  return {};
}

}  // namespace

bool has_cut(std::string_view text) noexcept {
  constexpr std::string_view kEnd = " cut ...]";
  for (std::size_t at = 0; (at = text.find(monitor::kCutMark, at)) != std::string_view::npos;) {
    at += monitor::kCutMark.size();
    std::size_t end = at;
    while (end < text.size() && text[end] >= '0' && text[end] <= '9') ++end;
    std::string_view rest = text.substr(end);
    if (end == at) continue;
    for (const std::string_view what : {" bytes", " messages"}) {
      if (rest.starts_with(what) && rest.substr(what.size()).starts_with(kEnd)) return true;
    }
  }
  return false;
}

Result<Exchange> read_exchange(const store::TrafficContent& content) {
  if (std::max(detail::json_depth(content.prompt), detail::json_depth(content.answer)) >
      detail::kJsonDepthMax) {
    return invalid_argument("the kept text is nested too deep");
  }
  Exchange exchange;
  const Json prompt = Json::parse(content.prompt, nullptr, false);
  const Json answer = Json::parse(content.answer, nullptr, false);
  exchange.is_chat = !prompt.is_string();
  if (exchange.is_chat ? !answer.is_object() : !answer.is_string()) {
    return invalid_argument(exchange.is_chat ? "the kept answer of a chat is not a message"
                                             : "the kept answer of a completion is not a string");
  }
  if (exchange.is_chat) {
    PARING_TRY_VOID(read_messages(content.prompt, exchange));
    exchange.answer = string_at(answer, "content");
    if (has_calls(answer)) {
      exchange.has_tools = true;
      exchange.tool_calls = text_of(with_argument_texts(answer["tool_calls"]));
    }
  } else {
    exchange.turns.push_back({"user", prompt.get<std::string>()});
    exchange.prompt = text_of(prompt);
    exchange.is_prompt_cut = has_cut(exchange.turns.front().content);
    exchange.answer = answer.get<std::string>();
  }
  exchange.is_answer_cut = has_cut(exchange.answer) || has_cut(exchange.tool_calls);
  return exchange;
}

std::string_view question_of(const Exchange& exchange) noexcept {
  const auto turn = std::find_if(exchange.turns.rbegin(), exchange.turns.rend(),
                                 [](const Turn& each) { return each.role == "user"; });
  return turn == exchange.turns.rend() ? std::string_view() : std::string_view(turn->content);
}

}  // namespace paring::improve
