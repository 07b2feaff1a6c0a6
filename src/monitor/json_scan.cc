// SPDX-License-Identifier: Apache-2.0
#include "monitor/json_scan.h"

#include <algorithm>

namespace paring::monitor {

namespace {

constexpr std::uint32_t kHighFirst = 0xD800;
constexpr std::uint32_t kLowFirst = 0xDC00;
constexpr std::uint32_t kLowEnd = 0xE000;
constexpr std::uint32_t kReplacement = 0xFFFD;
constexpr int kHexDigits = 4;

bool is_blank(char c) noexcept { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
bool is_word(char c) noexcept {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
         c == '+' || c == '.';
}

}  // namespace

void JsonScan::reset() {
  state_ = State::kValue;
  levels_.clear();
  path_.clear();
  is_path_long_ = false;
}

void JsonScan::read(std::string_view bytes) {
  std::size_t at = 0;
  while (at < bytes.size() && state_ != State::kFailed) {
    if (state_ == State::kString) {  // most bytes are those of texts
      std::size_t end = at;
      while (end < bytes.size() && bytes[end] != '"' && bytes[end] != '\\') ++end;
      if (end > at) {
        high_code_ = 0;
        const std::size_t room = kTextBytesMax - std::min(kTextBytesMax, text_.size());
        text_.append(bytes.substr(at, std::min(room, end - at)));
        at = end;
        continue;
      }
    }
    if (take(bytes[at])) ++at;
  }
}

void JsonScan::finish() {
  if (state_ != State::kWord) return;
  tell(Kind::kOther);
  end_value();
}

bool JsonScan::take(char c) {
  switch (state_) {
    case State::kString:
      if (c == '"') {
        end_string();
      } else {
        state_ = State::kEscape;
      }
      return true;
    case State::kEscape:
      take_escape(c);
      return true;
    case State::kUnicode:
      take_hex(c);
      return true;
    case State::kWord:
      if (is_word(c)) {
        add(c);
        return true;
      }
      tell(Kind::kOther);
      end_value();
      return false;
    default:
      if (!is_blank(c)) take_between(c);
      return true;
  }
}

void JsonScan::take_escape(char c) {
  constexpr std::string_view kLetters = "\"\\/bfnrt";
  constexpr std::string_view kMeant = "\"\\/\b\f\n\r\t";
  const std::size_t place = kLetters.find(c);
  state_ = State::kString;
  if (place != std::string_view::npos) {
    high_code_ = 0;
    add(kMeant[place]);
  } else if (c == 'u') {
    code_ = 0;
    code_digits_ = 0;
    state_ = State::kUnicode;
  } else {
    state_ = State::kFailed;
  }
}

void JsonScan::take_between(char c) {
  switch (state_) {
    case State::kValueOrEnd:
      if (c == ']') {
        close(false);
      } else {
        begin_value(c);
      }
      return;
    case State::kValue:
      begin_value(c);
      return;
    case State::kNameOrEnd:
    case State::kName:
      if (c == '"') {
        is_name_ = true;
        text_.clear();
        high_code_ = 0;
        state_ = State::kString;
      } else if (c == '}' && state_ == State::kNameOrEnd) {
        close(true);
      } else {
        state_ = State::kFailed;
      }
      return;
    case State::kColon:
      state_ = c == ':' ? State::kValue : State::kFailed;
      return;
    case State::kComma:
      if (c == ',') {
        state_ = levels_.back().is_object ? State::kName : State::kValue;
      } else if (c == '}' || c == ']') {
        close(c == '}');
      } else {
        state_ = State::kFailed;
      }
      return;
    default:  // more behind the end
      state_ = State::kFailed;
  }
}

void JsonScan::begin_value(char c) {
  text_.clear();
  high_code_ = 0;
  if (c == '{' || c == '[') {
    open(c == '{');
  } else if (c == '"') {
    is_name_ = false;
    state_ = State::kString;
  } else if (is_word(c)) {
    add(c);
    state_ = State::kWord;
  } else {
    state_ = State::kFailed;
  }
}

void JsonScan::open(bool is_object) {
  if (levels_.size() == kDepthMax) {
    state_ = State::kFailed;
    return;
  }
  levels_.push_back({is_object, path_.size(), is_path_long_});
  state_ = is_object ? State::kNameOrEnd : State::kValueOrEnd;
}

void JsonScan::close(bool is_object) {
  if (levels_.back().is_object != is_object) {
    state_ = State::kFailed;
    return;
  }
  levels_.pop_back();
  end_value();
}

// The path becomes that of what the value stands in.
void JsonScan::end_value() {
  if (levels_.empty()) {
    state_ = State::kEnd;
    return;
  }
  path_.resize(levels_.back().path_bytes);
  is_path_long_ = levels_.back().is_path_long;
  state_ = State::kComma;
}

void JsonScan::end_string() {
  if (is_name_) {
    end_name();
    return;
  }
  tell(Kind::kString);
  end_value();
}

void JsonScan::end_name() {
  if (path_.size() + 1 + text_.size() > kPathBytesMax) {
    is_path_long_ = true;
  } else {
    if (!path_.empty()) path_ += '.';
    path_ += text_;
  }
  state_ = State::kColon;
}

void JsonScan::tell(Kind kind) {
  listener_.on_value(is_path_long_ ? std::string_view() : std::string_view(path_), kind, text_);
}

void JsonScan::add(char c) {
  if (text_.size() < kTextBytesMax) text_ += c;
}

void JsonScan::take_hex(char c) {
  std::uint32_t digit = 0;
  if (c >= '0' && c <= '9') {
    digit = static_cast<std::uint32_t>(c - '0');
  } else if ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F')) {
    digit = static_cast<std::uint32_t>((c | 0x20) - 'a' + 10);
  } else {
    state_ = State::kFailed;
    return;
  }
  code_ = code_ * 16 + digit;
  if (++code_digits_ < kHexDigits) return;
  state_ = State::kString;
  if (code_ >= kHighFirst && code_ < kLowFirst) {
    high_code_ = code_;
  } else if (code_ >= kLowFirst && code_ < kLowEnd) {
    constexpr std::uint32_t kBase = 0x10000;
    constexpr std::uint32_t kHalf = 0x400;
    add_code(high_code_ == 0 ? kReplacement
                             : kBase + (high_code_ - kHighFirst) * kHalf + (code_ - kLowFirst));
    high_code_ = 0;
  } else {
    high_code_ = 0;
    add_code(code_);
  }
}

void JsonScan::add_code(std::uint32_t code) {
  const auto tail = [&](int shift) { add(static_cast<char>(0x80 | ((code >> shift) & 0x3F))); };
  if (code < 0x80) {
    add(static_cast<char>(code));
  } else if (code < 0x800) {
    add(static_cast<char>(0xC0 | (code >> 6)));
    tail(0);
  } else if (code < 0x10000) {
    add(static_cast<char>(0xE0 | (code >> 12)));
    tail(6);
    tail(0);
  } else {
    add(static_cast<char>(0xF0 | (code >> 18)));
    tail(12);
    tail(6);
    tail(0);
  }
}

}  // namespace paring::monitor
