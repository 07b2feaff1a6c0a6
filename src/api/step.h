// SPDX-License-Identifier: Apache-2.0
// What one engine step did and cost. Plain data.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

namespace paring::api {

struct StepRecord {
  double start_seconds = 0;  // monotonic clock
  double seconds = 0;
  std::size_t prefill_tokens = 0;   // prompt tokens computed
  std::size_t decode_tokens = 0;    // tokens of sequences that already generate, no guesses
  std::size_t draft_tokens = 0;     // guesses that were checked
  std::size_t accepted_tokens = 0;  // of those, right
  std::size_t cached_tokens = 0;    // prompt tokens that a cache spared
  std::size_t rows = 0;             // of logits
  // Tokens in front of each computed one, added up: of answers, guesses included, and of prompts.
  double decode_positions = 0;
  double prefill_positions = 0;
  double bytes = 0;              // weights and cache read, as the cost model counts them
  double operations = 0;         // 2 a multiply-add
  std::optional<double> joules;  // absent where the machine has no counter
};

}  // namespace paring::api
