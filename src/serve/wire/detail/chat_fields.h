// SPDX-License-Identifier: Apache-2.0
// Messages, tools and formats of OpenAI's chat completions, and what templates take of them.
// Values were checked against their shapes before. Stateless.
#pragma once

#include <string>

#include "serve/generate_request.h"
#include "serve/wire/detail/json_read.h"
#include "serve/wire/shape.h"

namespace paring::serve::wire {

// Content of a message: a text, or parts that are text.
Shape text_content();
Shape chat_message();
Shape function_shape();  // {"name", "description", "parameters", "strict"}
Shape chat_tool();
Shape tool_choice_shape();
Shape function_call_choice();
Shape reasoning_effort_shape();
Shape response_format_shape();

OutputFormat response_format_of(const Json& format);

// Fills `use` but for its text, and gives the tools as templates take them: an empty list for none.
// With "functions" in the place of "tools".
ApiResult<Json> read_tools(const Json& body, ToolUse& use);

// What follows from a tool that must be called by name, or from a call that must be made.
std::optional<ApiError> check_choice(const Json& tools, const ToolUse& use);

// Messages in the words of templates: developers speak as system, functions are tools, arguments
// are objects, reasoning is in "reasoning_content".
ApiResult<Json> template_messages(const Json& messages);

}  // namespace paring::serve::wire
