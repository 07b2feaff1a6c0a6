// SPDX-License-Identifier: Apache-2.0
// A badly rated answer: the prompt as it was sent, what it asked, what it was given to answer from,
// and what would have been right. Plain values.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace paring::advise {

inline constexpr std::size_t kCasesMax = 10'000;
inline constexpr std::size_t kCaseFileBytesMax = std::size_t{256} << 20;
// A block of a prompt with so many words is taken for text to answer from, unless the case says
// what its context is.
inline constexpr std::size_t kContextWordsMin = 25;

struct Case {
  std::string id;
  // JSON text, as the store of traffic has it: a list of messages, or one string for a completion.
  std::string prompt;
  std::string question;
  std::vector<std::string> context;  // each stands in the prompt word for word
  std::string reference;             // what would have been right; empty: nobody said
  std::string answer;                // as served; empty: not kept
};

// A line of a file of cases: {"messages": [...]} or {"prompt": "..."}, and perhaps "id",
// "question", "context" (a string or a list), "reference", "answer". What is asked and what was
// given is found in the prompt where it is not said. `place` names the line in errors.
Result<Case> parse_case(std::string_view line, const std::string& place);
// JSON lines; blank ones are skipped. InvalidArgument names file, line and field.
Result<std::vector<Case>> read_cases(const std::string& path);
// From a prompt as Case has it. InvalidArgument when it is not one, or holds no text of a user.
Result<Case> case_of(std::string id, const std::string& prompt);

// The prompt with every context taken out, and `text` put in the place of the first, or before what
// the user said last where there was none.
std::string with_context(const Case& c, const std::string& text);
// The task in plain words, in one message: `instruction`, the text (none when empty), the question.
std::string plain_prompt(const Case& c, const std::string& instruction, const std::string& text);

}  // namespace paring::advise
