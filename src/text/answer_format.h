// SPDX-License-Identifier: Apache-2.0
// How a model writes an answer that is more than text: reasoning and calls of tools. Read off its
// chat template, which is where a model's makers write it down. Values, any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "text/constraint.h"
#include "text/tokenizer.h"

namespace paring::text {

enum class ToolSyntax : std::uint8_t {
  kNone,     // the template knows no tools, or calls them in a form that is not read
  kHermes,   // <tool_call>{"name": ..., "arguments": {...}}</tool_call>: Hermes, Qwen2.5, Qwen3
  kLlama,    // {"name": ..., "parameters": {...}}, perhaps behind <|python_tag|>: Llama 3.1, 3.2
  kMistral,  // [TOOL_CALLS][{"name": ..., "arguments": {...}}, ...]
  kMistralArguments,  // [TOOL_CALLS]name[ARGS]{...}, once a call: Mistral since Small 3.2
  kFunctools,         // functools[{"name": ..., "arguments": {...}}, ...]: Phi-4-mini
  kToolCallList,      // <|tool_call|>[{...}, ...], perhaps with <|/tool_call|>: Granite, Phi-4-mini
  kDeepSeek,          // its own tags, the arguments in a block of JSON: DeepSeek V3 and R1
  kJson,              // tools, but none of these: {"name": ..., "arguments": {...}} alone
};

const char* tool_syntax_name(ToolSyntax syntax) noexcept;

struct AnswerFormat {
  ToolSyntax syntax = ToolSyntax::kNone;
  ToolCallForm form{};                       // as the model is made to write it
  std::vector<std::string> triggers{};       // as calls are found: the form's, and what else occurs
  std::optional<ReasoningForm> reasoning{};  // is_open is a matter of the prompt
};

// From the text of a chat template (Jinja). A template that is not known gives a format without
// reasoning, with kJson or kNone: never an error.
AnswerFormat answer_format_of(std::string_view chat_template);

// The reasoning of an answer to this prompt: one that the prompt itself begins is open, one that it
// begins and ends (thinking switched off) is none.
std::optional<ReasoningForm> reasoning_behind(const AnswerFormat& format, std::string_view prompt);

// The special tokens among the format's tags: what decodes the answer has to show them
// (DecodeOptions::shown), or the parser never sees them.
std::vector<std::int32_t> tag_tokens(const AnswerFormat& format, const Tokenizer& tokenizer);

// The special token that is spelled out at `at`, the longest one, and its bytes; 0 bytes: none.
std::pair<std::int32_t, std::size_t> special_token_at(const Tokenizer& tokenizer,
                                                      std::string_view text, std::size_t at);

// tool_choice of a request.
enum class ToolMode : std::uint8_t {
  kAuto,      // text, calls or both
  kRequired,  // at least one call
  kNamed,     // one call of the one tool given
};

// What a constraint has to hold the answer to. Unsupported when the model has no form for calls.
Result<ToolCallSpec> tool_calls_of(const AnswerFormat& format, std::vector<ToolChoice> tools,
                                   ToolMode mode, bool is_parallel);

}  // namespace paring::text
