// SPDX-License-Identifier: Apache-2.0
// What OpenAI's endpoints for text have in common: fields of sampling, tools and formats, and how
// they are read. Values were checked against their shapes before. Stateless.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "serve/generate_request.h"
#include "serve/wire/detail/json_read.h"
#include "serve/wire/shape.h"

namespace paring::serve::wire {

// Values of fields; nothing (or "") when they are absent, null or of another type.
std::optional<double> number_of(const Json& body, const char* name);
std::optional<std::int64_t> integer_of(const Json& body, const char* name);
std::optional<bool> boolean_of(const Json& body, const char* name);
std::string text_of(const Json& body, const char* name);

Shape model_name();
Shape stop_shape();
// Of a body or of its options: a text or several, as "stop".
std::vector<std::string> stops_of(const Json& body);
// temperature, top_p, penalties, seed, stop, logit_bias, n.
std::vector<Field> openai_sampling_fields();
// min_p, top_k, repetition_penalty, ignore_eos, priority, truncation, cache, and those refused.
std::vector<Field> vllm_sampling_fields();
// guided_json and its kin, structured_outputs.
std::vector<Field> vllm_format_fields();
// user, metadata, store and others without effect.
std::vector<Field> openai_ignored_fields();
Field stream_options_field();

void read_sampling(const Json& body, GenerateRequest& request);
void read_stream(const Json& body, GenerateRequest& request);
// An error when a second format is asked for.
std::optional<ApiError> read_vllm_format(const Json& body, OutputFormat& format);

// {"type": "json_schema", ...}: the schema may lie at `schema` of `format` or one level deeper.
OutputFormat schema_format(const Json& schema);

// An object of the tool's name and parameters, as ToolUse has it.
Json tool_of(const Json& function);

// The conversation as templates take it, and the tools; null: absent. The error has its field.
ApiResult<text::ChatInput> chat_input_of(const Json& messages, const Json& tools,
                                         const Json& variables);

// Arguments of a tool call that are JSON in a string, as a value that is an object.
ApiResult<Json> arguments_of(const std::string& text, const std::string& param);

}  // namespace paring::serve::wire
