// SPDX-License-Identifier: Apache-2.0
#include "improve/dataset/example_line.h"

#include <nlohmann/json.hpp>
#include <utility>

namespace paring::improve {

namespace {

using Json = nlohmann::ordered_json;

Json message_of(const AnswerText& answer) {
  Json message = {{"role", "assistant"}, {"content", answer.text}};
  if (!answer.tool_calls.empty()) message["tool_calls"] = Json::parse(answer.tool_calls);
  return message;
}

// What stands in a column: a list of one message, or text.
Json column_of(const Exchange& exchange, const AnswerText& answer) {
  if (!exchange.is_chat) return answer.text;
  return Json::array({message_of(answer)});
}

std::string line_of(const Json& object) {
  return object.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

std::string sft_line(const Exchange& exchange, const AnswerText& answer) {
  Json prompt = Json::parse(exchange.prompt);
  if (!exchange.is_chat) {
    return line_of({{"prompt", std::move(prompt)}, {"completion", answer.text}});
  }
  prompt.push_back(message_of(answer));
  Json object = Json::object();
  object["messages"] = std::move(prompt);
  return line_of(object);
}

std::string dpo_line(const Exchange& exchange, const AnswerText& chosen,
                     const AnswerText& rejected) {
  Json object = Json::object();
  object["prompt"] = Json::parse(exchange.prompt);
  object["chosen"] = column_of(exchange, chosen);
  object["rejected"] = column_of(exchange, rejected);
  return line_of(object);
}

std::string kto_line(const Exchange& exchange, const AnswerText& answer, bool is_good) {
  Json object = Json::object();
  object["prompt"] = Json::parse(exchange.prompt);
  object["completion"] = column_of(exchange, answer);
  object["label"] = is_good;
  return line_of(object);
}

std::string normal_form(std::string_view text) {
  std::string normal;
  normal.reserve(text.size());
  bool is_blank = false;
  for (const char c : text) {
    if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
      is_blank = !normal.empty();
      continue;
    }
    if (is_blank) normal += ' ';
    is_blank = false;
    normal += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  return normal;
}

}  // namespace paring::improve
