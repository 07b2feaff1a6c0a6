// SPDX-License-Identifier: Apache-2.0
// Pieces of OpenAI's answers that several endpoints have. Stateless.
#pragma once

#include <string>
#include <vector>

#include "serve/answer.h"
#include "serve/wire/shape.h"

namespace paring::serve::wire {

// "chatcmpl-..." and the like: what the fields of an answer begin with, up to and with
// "system_fingerprint".
std::string openai_head(const AnswerLabel& label, const char* prefix, const char* object);

// {"prompt_tokens": ..., ...}
void append_openai_usage(std::string& out, const AnswerUsage& usage);
// {"cache_n": ..., "prompt_n": ..., ...} as llama-server has them; milliseconds.
void append_timings(std::string& out, const AnswerUsage& usage);
// {"error": {...}}
void append_openai_error(std::string& out, const ApiError& error);
// A log-probability as clients get it: not below -9999, as OpenAI's, since JSON has no infinities.
float shown_logprob(float logprob) noexcept;
// "bytes" of a token, a list of numbers.
void append_bytes(std::string& out, const std::string& bytes);
// [{"token": ..., "logprob": ..., "bytes": ..., "top_logprobs": [...]}, ...]
void append_token_details(std::string& out, const std::vector<TokenDetail>& tokens);

// As "finish_reason" has it.
const char* openai_finish_reason(const AnswerEnding& ending) noexcept;

// The error of the first choice that failed, or null.
const ApiError* first_error(const std::vector<AnswerChoice>& choices) noexcept;

// "id", "object", "created", "model", "system_fingerprint".
std::vector<Field> openai_head_fields(const char* object);
Shape usage_shape();
Shape timings_shape();
Shape openai_error_shape();

}  // namespace paring::serve::wire
