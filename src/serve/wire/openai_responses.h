// SPDX-License-Identifier: Apache-2.0
// POST /v1/responses: OpenAI's responses, without state: conversations come whole in each request.
// Stateless, any thread.
#pragma once

#include <string_view>

#include "serve/api_error.h"
#include "serve/wire/call.h"
#include "serve/wire/shape.h"
#include "serve/wire/wire_rules.h"

namespace paring::serve::wire {

// 400 (413 for its size) for what is no such request, with the field.
ApiResult<GenerateCall> read_openai_responses(std::string_view body, const WireRules& rules);

const Shape& openai_responses_request();
const Shape& openai_responses_answer();

}  // namespace paring::serve::wire
