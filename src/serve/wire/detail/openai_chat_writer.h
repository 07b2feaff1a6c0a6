// SPDX-License-Identifier: Apache-2.0
// Answers of /v1/chat/completions: server-sent events or one object. Each writer belongs to one
// answer.
#pragma once

#include <memory>

#include "serve/answer.h"

namespace paring::serve::wire {

struct OpenAiChatStyle {
  bool includes_usage = false;
  bool has_logprobs = false;
  bool calls_are_functions = false;  // "function_call" in the place of "tool_calls"
};

std::unique_ptr<AnswerWriter> openai_chat_writer(const AnswerLabel& label,
                                                 const OpenAiChatStyle& style);

}  // namespace paring::serve::wire
