// SPDX-License-Identifier: Apache-2.0
// Examples as the lines that TRL's trainers read (its "standard" and "conversational" dataset
// formats). Stateless.
#pragma once

#include <string>
#include <string_view>

#include "improve/exchange.h"

namespace paring::improve {

// An answer to write: its text and perhaps calls of tools, as JSON.
struct AnswerText {
  std::string_view text;
  std::string_view tool_calls{};
};

// {"messages": [...]}, or {"prompt": "...", "completion": "..."}.
std::string sft_line(const Exchange& exchange, const AnswerText& answer);
// {"prompt": ..., "chosen": ..., "rejected": ...}
std::string dpo_line(const Exchange& exchange, const AnswerText& chosen,
                     const AnswerText& rejected);
// {"prompt": ..., "completion": ..., "label": true}
std::string kto_line(const Exchange& exchange, const AnswerText& answer, bool is_good);

// Equal for lines that differ only in white space between words and in ASCII letters' case.
std::string normal_form(std::string_view text);

}  // namespace paring::improve
