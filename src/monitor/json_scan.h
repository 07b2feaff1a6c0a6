// SPDX-License-Identifier: Apache-2.0
// Reads JSON (RFC 8259) as it comes, in pieces cut anywhere, and tells the values on the way, each
// under the names that lead to it. Keeps no more than one short value. It looks for what it knows
// in what others wrote and is no judge of it: what is no JSON ends the reading, no more.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace paring::monitor {

class JsonScan {
 public:
  enum class Kind : std::uint8_t { kString, kOther };  // kOther: a number, true, false, null
  class Listener {
   public:
    virtual ~Listener() = default;
    // `path`: names with dots between, lists count for nothing: "choices.delta.content". Of a long
    // string `text` is the beginning.
    virtual void on_value(std::string_view path, Kind kind, std::string_view text) = 0;
  };
  static constexpr std::size_t kTextBytesMax = 256;
  static constexpr std::size_t kPathBytesMax = 128;  // longer ones are told as ""
  static constexpr std::size_t kDepthMax = 256;

  // `listener` must outlive this.
  explicit JsonScan(Listener& listener) : listener_(listener) {}
  void read(std::string_view bytes);
  // A number that ended with the text is told.
  void finish();
  // Begins again with another text.
  void reset();
  bool has_failed() const noexcept { return state_ == State::kFailed; }
  // One whole value has been read.
  bool is_whole() const noexcept { return state_ == State::kEnd; }

 private:
  enum class State : std::uint8_t {
    kValue,
    kValueOrEnd,  // the first of a list
    kName,
    kNameOrEnd,  // the first of an object
    kColon,
    kComma,
    kString,
    kEscape,
    kUnicode,
    kWord,
    kEnd,
    kFailed,
  };
  struct Level {
    bool is_object;
    std::size_t path_bytes;  // of the path that leads here
    bool is_path_long;
  };

  // Whether the byte is done with; else it is looked at again in the new state.
  bool take(char c);
  void take_between(char c);  // texts and words
  void take_escape(char c);
  void begin_value(char c);
  void open(bool is_object);
  void close(bool is_object);
  void end_value();
  void end_string();
  void tell(Kind kind);
  void end_name();
  void add(char c);
  void add_code(std::uint32_t code);
  void take_hex(char c);

  Listener& listener_;
  State state_ = State::kValue;
  bool is_name_ = false;  // the string that is read
  std::vector<Level> levels_;
  std::string path_;
  bool is_path_long_ = false;
  std::string text_;
  std::uint32_t code_ = 0;  // of \uXXXX
  int code_digits_ = 0;
  std::uint32_t high_code_ = 0;  // the first half of a pair
};

}  // namespace paring::monitor
