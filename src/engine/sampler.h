// SPDX-License-Identifier: Apache-2.0
// Picks the next token from logits. Order: repetition penalty, then greedy when temperature is 0,
// else temperature, top-k, min-p, top-p, draw. The draw is a pure function of (seed, sequence,
// position), so a request gives the same text in any batch. Immutable: threads may ask one at once.
#pragma once

#include <cstdint>
#include <span>

#include "api/request.h"
#include "base/result.h"

namespace paring::engine {

// InvalidArgument naming the parameter, its value and its bounds.
Result<void> check_sampling(const api::Sampling& sampling);

// The likeliest token of a row of logits; of equal ones the lowest. REQUIRES: a token.
std::int32_t most_likely(std::span<const float> logits) noexcept;

class Sampler {
 public:
  // REQUIRES: check_sampling(sampling) passed.
  Sampler(const api::Sampling& sampling, std::uint64_t sequence)
      : sampling_(sampling), sequence_(sequence) {}

  // `history`: the tokens so far, for the repetition penalty. `logits` is not changed.
  std::int32_t sample(std::span<const float> logits, std::span<const std::int32_t> history,
                      std::uint64_t position) const;

 private:
  struct Candidate {
    float logit;
    std::int32_t token;
  };
  void penalize(std::span<const std::int32_t> history, std::span<Candidate> candidates) const;
  api::Sampling sampling_;
  std::uint64_t sequence_;
};

// How far back the repetition penalty looks.
inline constexpr std::size_t kPenaltyWindowTokens = 64;

}  // namespace paring::engine
