// SPDX-License-Identifier: Apache-2.0
#include "text/json_follower.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "text/answer_parser.h"

namespace paring::text {
namespace {

bool is_word_character(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '-' || c == '+' || c == '.' ||
         c == 'E';
}

// Of an escape that is whole: "\n", "\u00e9", "\ud83d\ude00". Empty when more of it has to come.
std::string unescaped(const std::string& escape) {
  const bool is_unicode = escape.size() > 1 && escape[1] == 'u';
  if (escape.size() < (is_unicode ? 6U : 2U)) return {};
  const auto text = nlohmann::json::parse("\"" + escape + "\"", nullptr, false);
  if (!text.is_discarded()) return text.get<std::string>();
  // The first half of a pair waits for the second.
  return is_unicode && escape.size() < 12 ? std::string() : escape;
}

}  // namespace

JsonFollower::Step JsonFollower::begin(char c) {
  *this = {};
  last_ = c;
  if (c == '{' || c == '[') {
    open_ += c;
  } else if (c == '"') {
    is_in_text_ = is_text_value_ = is_quote_ = true;
  } else if (is_word_character(c)) {
    is_word_ = true;
  } else {
    return Step::kWrong;
  }
  return Step::kMore;
}

JsonFollower::Step JsonFollower::next_in_text(char c) {
  if (is_escaped_) {
    is_escaped_ = false;
    return Step::kMore;
  }
  is_escaped_ = c == '\\';
  if (c != '"') return Step::kMore;
  is_in_text_ = false;
  is_quote_ = open_.empty();
  return is_quote_ ? Step::kEnd : Step::kMore;
}

JsonFollower::Step JsonFollower::next(char c) {
  last_ = c;
  is_quote_ = false;
  if (is_in_text_) return next_in_text(c);
  if (is_word_) return is_word_character(c) ? Step::kMore : Step::kAfter;
  if (c == '"') {
    is_in_text_ = true;
    return Step::kMore;
  }
  if (c == '{' || c == '[') {
    open_ += c;
    return open_.size() > kArgumentsDepthMax ? Step::kWrong : Step::kMore;
  }
  if (c == '}' || c == ']') {
    if (open_.back() != (c == '}' ? '{' : '[')) return Step::kWrong;
    open_.pop_back();
    return open_.empty() ? Step::kEnd : Step::kMore;
  }
  const bool is_known = is_json_space(c) || c == ',' || c == ':' || is_word_character(c);
  return is_known ? Step::kMore : Step::kWrong;
}

std::string JsonFollower::taken() {
  if (is_text_value_) return is_quote_ ? std::exchange(escape_, {}) : decoded();
  const bool is_control = static_cast<unsigned char>(last_) < 0x20;
  if (!is_in_text_ || !is_control) return {last_};
  const std::string quoted = nlohmann::json(std::string(1, last_)).dump();
  return quoted.substr(1, quoted.size() - 2);
}

std::string JsonFollower::decoded() {
  if (escape_.empty() && last_ != '\\') return {last_};
  escape_ += last_;
  std::string text = unescaped(escape_);
  if (!text.empty()) escape_.clear();
  return text;
}

}  // namespace paring::text
