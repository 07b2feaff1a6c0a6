// SPDX-License-Identifier: Apache-2.0
// POST /v1/completions: OpenAI's completions of plain text, with what vLLM added. Stateless, any
// thread.
#pragma once

#include <string_view>

#include "serve/api_error.h"
#include "serve/wire/call.h"
#include "serve/wire/shape.h"
#include "serve/wire/wire_rules.h"

namespace paring::serve::wire {

// Tokens of an answer when the request does not say, as OpenAI has it.
inline constexpr std::size_t kCompletionTokensDefault = 16;

// 400 (413 for its size) for what is no such request, with the field. Echoed prompts come in the
// answer's content, their tokens in its tokens, the first without a log-probability.
ApiResult<GenerateCall> read_openai_completions(std::string_view body, const WireRules& rules);

const Shape& openai_completions_request();
const Shape& openai_completions_answer();

}  // namespace paring::serve::wire
