// SPDX-License-Identifier: Apache-2.0
// What is asked of an engine and what comes back, free of any wire format. Plain data.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace paring::api {

enum class RequestKind : std::uint8_t { kGenerate, kScore, kEmbed, kClassify, kRerank };

// Added to a token's logit. -100 and 100 forbid and force it in practice.
struct TokenBias {
  std::int32_t token = 0;
  float bias = 0;
};

// How the next token is picked; bounds are checked by the engine.
struct Sampling {
  double temperature = 0.0;         // 0: always the most likely token
  std::size_t top_k = 40;           // 0: no limit
  double top_p = 1.0;               // smallest set of tokens with this much probability
  double min_p = 0.0;               // least probability, relative to the most likely token's
  double repetition_penalty = 1.0;  // 1: none; of prompt and answer
  double frequency_penalty = 0.0;   // 0: none; for each time a token is in the answer so far
  double presence_penalty = 0.0;    // 0: none; once for each token in the answer so far
  std::vector<TokenBias> logit_bias = {};
  std::uint64_t seed = 0;
};

struct Request {
  RequestKind kind = RequestKind::kGenerate;
  std::uint64_t id = 0;  // also the random stream of the request
  std::vector<std::int32_t> prompt;
  std::size_t max_tokens = 256;
  Sampling sampling;
  std::vector<std::string> stop;  // text that ends the answer; not part of it
};

struct TokenLogprob {
  std::int32_t token = 0;
  float logprob = 0;
};

// What the model thought of a token: natural logarithms of probabilities before any penalty, bias,
// temperature or constraint.
struct TokenLogprobs {
  TokenLogprob token;
  std::vector<TokenLogprob> top;  // the likeliest, best first
};

enum class FinishReason : std::uint8_t { kEndOfText, kStopString, kMaxTokens, kContextFull };

const char* finish_reason_name(FinishReason reason) noexcept;

// Tokens that were guessed and checked together (speculative decoding).
struct Speculation {
  std::size_t steps = 0;            // that gave this text tokens, with guesses or without
  std::size_t drafts = 0;           // steps that checked guesses
  std::size_t drafted_tokens = 0;   // checked
  std::size_t accepted_tokens = 0;  // of those, right
  double plain_seconds = 0;         // that the same tokens were expected to take one by one
};

// What computing took, as engine/step_meter.h splits the steps that a sequence was part of.
struct Work {
  double seconds = 0;     // its share of the time of those steps
  double operations = 0;  // 2 a multiply-add
  double bytes = 0;       // weights, keys and values read, its share of what is shared
  Work& operator+=(const Work& other) noexcept {
    seconds += other.seconds;
    operations += other.operations;
    bytes += other.bytes;
    return *this;
  }
};

struct Usage {
  std::size_t prompt_tokens = 0;
  std::size_t cached_tokens = 0;  // of the prompt, not computed again
  std::size_t generated_tokens = 0;
  double prefill_seconds = 0;
  double decode_seconds = 0;
  Work prefill_work;           // of the steps up to its first token
  Work decode_work;            // of those behind it
  std::size_t peak_pages = 0;  // of the cache that it held at a time, shared ones included
  Speculation speculation;
};

struct Completion {
  std::string text;
  std::vector<std::int32_t> tokens;
  FinishReason reason = FinishReason::kMaxTokens;
  Usage usage;
};

}  // namespace paring::api
