// SPDX-License-Identifier: Apache-2.0
// A stored request and its answer, taken apart: what scorers judge and datasets are made of. Plain
// values; functions are stateless.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/traffic_rows.h"

namespace paring::improve {

struct Turn {
  std::string role;
  std::string content;
};

struct Exchange {
  bool is_chat = false;
  // As JSON: a list of messages with role, content and, where they are, name, tool_calls (arguments
  // as text) and tool_call_id; of a completion a string.
  std::string prompt;
  std::vector<Turn> turns;  // the same as plain text; of a completion one, of the user
  std::string answer;       // without reasoning
  std::string tool_calls;   // of the answer, as JSON; empty: none
  bool has_tools = false;   // calls or answers of tools, anywhere
  // Something is missing in the middle (monitor::kCutMark).
  bool is_prompt_cut = false;
  bool is_answer_cut = false;
};

// InvalidArgument: not in the form that a server keeps. Unsupported: content that is not text.
Result<Exchange> read_exchange(const store::TrafficContent& content);

// What the user said last; empty when nobody did.
std::string_view question_of(const Exchange& exchange) noexcept;

// Whether text was taken out of it: "[... 12 bytes cut ...]".
bool has_cut(std::string_view text) noexcept;

}  // namespace paring::improve
