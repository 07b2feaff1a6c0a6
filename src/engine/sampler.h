// SPDX-License-Identifier: Apache-2.0
// Picks the next token from logits. Order: penalties, bias, constraint, then greedy when
// temperature is 0, else temperature, top-k, min-p, top-p, draw. The draw is a pure function of
// (seed, sequence, position), so a request gives the same text in any batch. Immutable: threads may
// ask one at once.
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

// The log-probabilities of `token` and of the `top` likeliest in a row of logits.
api::TokenLogprobs logprobs_of(std::span<const float> logits, std::int32_t token, std::size_t top);
// The same with those of `told` in the place of the likeliest.
api::TokenLogprobs logprobs_of(std::span<const float> logits, std::int32_t token,
                               std::span<const std::int32_t> told);

// Tokens that may come next, bit t % 32 of word t / 32 for token t. Tokens behind its end may not.
using TokenSet = std::span<const std::uint32_t>;

class Sampler {
 public:
  // `prompt_tokens`: how many of a history are the prompt, which frequency and presence penalties
  // leave alone. REQUIRES: check_sampling(sampling) passed.
  Sampler(const api::Sampling& sampling, std::uint64_t sequence, std::size_t prompt_tokens = 0)
      : sampling_(sampling), sequence_(sequence), prompt_tokens_(prompt_tokens) {}

  // `history`: the tokens so far, for the penalties. `allowed`: what may come next, null for all.
  // `logits` is not changed. REQUIRES: a token of `logits` is allowed.
  std::int32_t sample(std::span<const float> logits, std::span<const std::int32_t> history,
                      std::uint64_t position, const TokenSet* allowed = nullptr) const;

 private:
  bool adjusts() const noexcept;
  void adjust(std::span<float> logits, std::span<const std::int32_t> history) const;
  std::int32_t draw(std::span<const float> logits, std::uint64_t position) const;
  api::Sampling sampling_;
  std::uint64_t sequence_;
  std::size_t prompt_tokens_;
};

// Tokens whose probability is less than this part of the likeliest one's are never drawn: what is
// left out by that weighs less than one draw in ten million, with any vocabulary.
inline constexpr double kNegligibleWeight = 1e-13;

// How far back the repetition penalty looks.
inline constexpr std::size_t kPenaltyWindowTokens = 64;
inline constexpr std::size_t kLogitBiasMax = 1024;  // entries of a request

}  // namespace paring::engine
