// SPDX-License-Identifier: Apache-2.0
// POST /api/chat and /api/generate as Ollama's clients speak them. Stateless, any thread.
#pragma once

#include <string>
#include <string_view>

#include "serve/api_error.h"
#include "serve/wire/call.h"
#include "serve/wire/shape.h"
#include "serve/wire/wire_rules.h"

namespace paring::serve::wire {

// 400 (413 for its size) for what is no such request, with the field. Answers stream unless the
// request says otherwise.
ApiResult<GenerateCall> read_ollama_chat(std::string_view body, const WireRules& rules);
ApiResult<GenerateCall> read_ollama_generate(std::string_view body, const WireRules& rules);

// {"error": "..."}
std::string ollama_error_body(const ApiError& error);

const Shape& ollama_chat_request();
const Shape& ollama_generate_request();
const Shape& ollama_chat_answer();
const Shape& ollama_generate_answer();
const Shape& ollama_error_shape();

}  // namespace paring::serve::wire
