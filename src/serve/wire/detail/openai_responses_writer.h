// SPDX-License-Identifier: Apache-2.0
// Answers of /v1/responses: numbered events or one object. Each writer belongs to one answer.
#pragma once

#include <memory>
#include <string>

#include "serve/answer.h"

namespace paring::serve::wire {

struct OpenAiResponsesStyle {
  // Fields of the response that repeat the request, as JSON without the braces.
  std::string repeated;
  bool has_logprobs = false;
};

std::unique_ptr<AnswerWriter> openai_responses_writer(const AnswerLabel& label,
                                                      const OpenAiResponsesStyle& style);

}  // namespace paring::serve::wire
