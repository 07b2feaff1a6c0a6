// SPDX-License-Identifier: Apache-2.0
// What a client asks for when it wants text, whatever the protocol it speaks: OpenAI's chat,
// completions and responses, Anthropic's messages and Ollama's API are all read into this
// (serve/wire/). Plain data; what is absent stays absent until the model is known.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "api/request.h"
#include "text/chat_template.h"

namespace paring::serve {

// A conversation for the model's chat template, text that is continued as it is, or token ids.
using Prompt = std::variant<text::ChatInput, std::string, std::vector<std::int32_t>>;

// What limits the answer as a whole.
struct OutputFormat {
  enum class Kind : std::uint8_t { kText, kJsonObject, kJsonSchema, kRegex, kGrammar, kChoice };
  Kind kind = Kind::kText;
  std::string definition;            // the schema as JSON text, the regex, the grammar
  std::vector<std::string> choices;  // of kChoice
};

struct ToolUse {
  enum class Choice : std::uint8_t { kAuto, kNone, kRequired, kNamed };
  // The tools as OpenAI writes them: [{"type": "function", "function": {...}}, ...]; empty: none.
  // The same text is in the conversation, where the template reads it.
  std::string tools;
  Choice choice = Choice::kAuto;
  std::string name;         // of kNamed
  bool is_parallel = true;  // several calls in one answer
};

// What happens to a prompt that does not fit the context.
enum class Truncation : std::uint8_t { kRefuse, kDropOldest };

struct GenerateRequest {
  std::string model;            // as the client names it; "" is the server's default
  std::vector<Prompt> prompts;  // at least one; several give as many answers
  std::optional<std::size_t> max_tokens;
  std::size_t samples = 1;  // answers to each prompt
  // Absent fields are the server's defaults for the model (its generation_config, else the wire's).
  std::optional<double> temperature;
  std::optional<double> top_p;
  std::optional<double> min_p;
  std::optional<std::size_t> top_k;
  std::optional<double> repetition_penalty;
  std::optional<double> frequency_penalty;
  std::optional<double> presence_penalty;
  std::optional<std::uint64_t> seed;
  std::vector<api::TokenBias> logit_bias;
  std::vector<std::string> stop;
  bool ignores_end = false;             // does not stop at the end-of-text token
  std::optional<std::size_t> logprobs;  // with each token, and this many likeliest ones
  bool echoes_prompt = false;           // the prompt is part of the text, and of the logprobs
  OutputFormat format;
  ToolUse tools;
  Truncation truncation = Truncation::kRefuse;
  // The model must have a context of at least so many tokens (Ollama's num_ctx).
  std::optional<std::size_t> context_tokens_min;
  bool streams = false;
  bool includes_usage = false;  // a stream ends with what it cost
  int priority = 0;             // 0 interactive, -1 batch
  std::optional<double> timeout_seconds;
  // How long the model stays without a request (Ollama's keep_alive); less than 0: for ever.
  std::optional<double> keep_alive_seconds;
  std::optional<bool> uses_cache;  // of whole answers; absent: the server's rule
  // Whether the answer to a question that means the same will do; absent: the server's rule.
  std::optional<bool> uses_semantic_cache;
  std::string user;  // who asks, as the client names them; part of nothing
  // Which version of its prompt the client used, as it names it; part of nothing.
  std::string prompt_version;
};

}  // namespace paring::serve
