// SPDX-License-Identifier: Apache-2.0
// Reads the calls behind one trigger, character by character. For answer_parser.cc. Belongs to one
// answer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/answer_parser.h"
#include "text/json_follower.h"

namespace paring::text {

class ToolCallReader {
 public:
  enum class Outcome : std::uint8_t {
    kNeedsText,  // all of the text is taken, or has to wait for more
    kDone,       // the calls have ended
    kBroken,     // no call, or not to its end; what is not taken goes on as content
  };

  ToolCallReader(const AnswerFormat& format, const std::vector<std::string>& names,
                 std::string id_prefix);

  // `held`: what stood for the trigger, given back as content when no call follows. `is_bare`:
  // there is none, and any JSON may begin like a call.
  void start(std::string held, bool is_bare);
  // Takes what it can; `used` is how many bytes of the front.
  Outcome read(std::string_view text, std::size_t& used, std::vector<AnswerEvent>& out);
  // The answer ends here, `rest` was not taken.
  void finish(std::string_view rest, std::vector<AnswerEvent>& out);

 private:
  enum class Place : std::uint8_t {
    kObject,  // a call, or a list of them, begins
    kKey,     // inside a call: a key, or the end
    kKeyText,
    kColon,
    kValue,
    kNameText,
    kSkipped,  // inside a value that says nothing
    kArguments,
    kAfterValue,
    kRawValue,  // where the name stands outside of the JSON: the arguments begin
    // These compare whole texts, not characters.
    kAfterCall,
    kRawHead,
    kRawName,
    kRawAfterCall,
  };
  enum class Found : std::uint8_t { kYes, kNo, kNeedsText };

  bool take(char c, std::vector<AnswerEvent>& out);
  bool take_key(char c, std::vector<AnswerEvent>& out);
  bool take_value(char c, std::vector<AnswerEvent>& out);
  bool take_arguments(char c, std::vector<AnswerEvent>& out);
  bool take_text(char c, bool& is_whole);
  Outcome compare(std::string_view text, std::size_t& used, bool& goes_on,
                  std::vector<AnswerEvent>& out);
  Outcome after_call(std::string_view text, std::size_t& used, bool& goes_on);
  Outcome raw_name(std::string_view text, std::size_t& used, bool& goes_on);
  static Found find(std::string_view text, std::string_view wanted);

  bool use_name(std::string name, std::vector<AnswerEvent>& out);
  void put_arguments(std::string_view text, std::vector<AnswerEvent>& out);
  void begin_call(std::vector<AnswerEvent>& out);
  bool end_call(std::vector<AnswerEvent>& out);
  void break_off(std::vector<AnswerEvent>& out);
  bool wrong(std::string why);
  void reset_call();

  bool has_raw_names_;
  bool joins_calls_;                             // by "; " or ", " without a list around them
  std::string raw_head_, raw_middle_, raw_end_;  // around such a name and its arguments
  std::string end_tag_;                          // behind all calls; may be missing
  std::vector<std::string> names_;
  std::string id_prefix_;
  std::size_t calls_ = 0;  // begun so far

  Place place_ = Place::kObject;
  bool is_bare_ = false;
  bool is_list_ = false;
  std::string held_;  // since the trigger or the last call, until a call begins
  std::string why_;

  std::string key_, name_, text_;
  std::string early_;  // arguments before the name
  bool has_name_ = false;
  bool has_arguments_ = false;
  bool has_begun_ = false;
  bool is_escaped_ = false;  // in text_
  JsonFollower follower_;
};

}  // namespace paring::text
