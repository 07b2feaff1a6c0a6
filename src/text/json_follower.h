// SPDX-License-Identifier: Apache-2.0
// Follows one JSON value by its brackets and texts until it ends, without keeping it. For
// tool_call_reader.cc. A value that is a text can be undone: what it spells comes out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace paring::text {

constexpr bool is_json_space(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

class JsonFollower {
 public:
  enum class Step : std::uint8_t {
    kMore,   // the character belongs to the value, more do
    kEnd,    // it is the last one
    kAfter,  // it is behind the value, a number or a word
    kWrong,
  };

  // The first character of the value: kMore, or kWrong.
  Step begin(char c);
  Step next(char c);

  bool is_text() const { return is_text_value_; }
  // What the character adds to the value's text: itself, escaped where it may not stand there;
  // of a value that is a text, what it spells.
  std::string taken();

 private:
  Step next_in_text(char c);
  std::string decoded();

  std::string open_;    // brackets not closed yet
  std::string escape_;  // of a value that is a text: an escape that is not whole yet
  char last_ = 0;
  bool is_in_text_ = false;
  bool is_escaped_ = false;
  bool is_text_value_ = false;
  bool is_word_ = false;   // true, null, a number
  bool is_quote_ = false;  // `last_` opens or closes the text that is the value
};

}  // namespace paring::text
