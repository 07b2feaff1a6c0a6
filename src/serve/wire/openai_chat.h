// SPDX-License-Identifier: Apache-2.0
// POST /v1/chat/completions: OpenAI's chat completions with what vLLM and llama-server added.
// Stateless, any thread.
#pragma once

#include <string>
#include <string_view>

#include "serve/api_error.h"
#include "serve/wire/call.h"
#include "serve/wire/shape.h"
#include "serve/wire/wire_rules.h"

namespace paring::serve::wire {

// 400 (413 for its size) for what is no such request, with the field.
ApiResult<GenerateCall> read_openai_chat(std::string_view body, const WireRules& rules);

const Shape& openai_chat_request();
const Shape& openai_chat_answer();
const Shape& openai_chat_chunk();

// {"error": {...}} as all of OpenAI's endpoints answer.
std::string openai_error_body(const ApiError& error);

}  // namespace paring::serve::wire
