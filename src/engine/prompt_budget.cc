// SPDX-License-Identifier: Apache-2.0
#include "engine/prompt_budget.h"

#include <algorithm>
#include <bit>

namespace paring::engine {

namespace {

// The part of a new value in a mean: a handful of steps decide.
constexpr double kNew = 0.2;

void blend(double& mean, double value) { mean = mean == 0 ? value : mean + kNew * (value - mean); }

}  // namespace

std::size_t PromptBudget::class_of(std::size_t generating) noexcept {
  return std::min<std::size_t>(kClasses - 1, static_cast<std::size_t>(std::bit_width(generating)));
}

// From steps of as many sequences, or of the next fewer that were seen.
double PromptBudget::plain_seconds(std::size_t generating) const {
  for (std::size_t c = class_of(generating) + 1; c-- > 0;) {
    if (plain_[c] > 0) return plain_[c];
  }
  return 0;
}

std::size_t PromptBudget::tokens(std::size_t generating) const {
  const double plain = plain_seconds(generating);
  if (plain == 0 || seconds_a_token_ == 0) return tokens_max_;
  const double fitting = (ratio_ - 1) * plain / seconds_a_token_;
  if (fitting >= static_cast<double>(tokens_max_)) return tokens_max_;
  return std::max(std::min(kPromptTokensMin, tokens_max_), static_cast<std::size_t>(fitting));
}

void PromptBudget::observe(std::size_t generating, std::size_t prompt_tokens, double seconds) {
  if (prompt_tokens == 0) {
    if (generating > 0) blend(plain_[class_of(generating)], seconds);
    return;
  }
  const double rest = seconds - (generating > 0 ? plain_seconds(generating) : 0);
  if (rest > 0) blend(seconds_a_token_, rest / static_cast<double>(prompt_tokens));
}

}  // namespace paring::engine
