// SPDX-License-Identifier: Apache-2.0
// Answers of /api/chat and /api/generate: an object a line, or one object. Each writer belongs to
// one answer.
#pragma once

#include <memory>

#include "serve/answer.h"

namespace paring::serve::wire {

struct OllamaStyle {
  bool is_chat = true;  // "message" in the place of "response"
  bool has_logprobs = false;
};

std::unique_ptr<AnswerWriter> ollama_writer(const AnswerLabel& label, const OllamaStyle& style);

}  // namespace paring::serve::wire
