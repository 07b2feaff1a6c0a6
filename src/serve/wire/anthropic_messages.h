// SPDX-License-Identifier: Apache-2.0
// POST /v1/messages and /v1/messages/count_tokens as Anthropic's clients speak them. Stateless, any
// thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "serve/api_error.h"
#include "serve/wire/call.h"
#include "serve/wire/shape.h"
#include "serve/wire/wire_rules.h"

namespace paring::serve::wire {

// 400 (413 for its size) for what is no such request, with the field.
ApiResult<GenerateCall> read_anthropic_messages(std::string_view body, const WireRules& rules);
// Only the model, the prompt and the tools of the request are set.
ApiResult<GenerateRequest> read_anthropic_count(std::string_view body, const WireRules& rules);

std::string anthropic_count_answer(std::size_t input_tokens);
// {"type": "error", "error": {...}}
std::string anthropic_error_body(const ApiError& error);

const Shape& anthropic_messages_request();
const Shape& anthropic_count_request();
const Shape& anthropic_messages_answer();
const Shape& anthropic_count_answer_shape();
const Shape& anthropic_error_shape();

}  // namespace paring::serve::wire
