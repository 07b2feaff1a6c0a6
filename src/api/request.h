// SPDX-License-Identifier: Apache-2.0
// What is asked of an engine and what comes back, free of any wire format. Plain data.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace paring::api {

enum class RequestKind : std::uint8_t { kGenerate, kScore, kEmbed, kClassify, kRerank };

// How the next token is picked; bounds are checked by the engine.
struct Sampling {
  double temperature = 0.0;         // 0: always the most likely token
  std::size_t top_k = 40;           // 0: no limit
  double top_p = 1.0;               // smallest set of tokens with this much probability
  double min_p = 0.0;               // least probability, relative to the most likely token's
  double repetition_penalty = 1.0;  // 1: none
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

struct Usage {
  std::size_t prompt_tokens = 0;
  std::size_t cached_tokens = 0;  // of the prompt, not computed again
  std::size_t generated_tokens = 0;
  double prefill_seconds = 0;
  double decode_seconds = 0;
  Speculation speculation;
};

struct Completion {
  std::string text;
  std::vector<std::int32_t> tokens;
  FinishReason reason = FinishReason::kMaxTokens;
  Usage usage;
};

}  // namespace paring::api
