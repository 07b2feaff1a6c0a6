// SPDX-License-Identifier: Apache-2.0
#include "engine/sampler.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/random.h"

namespace paring::engine {

Result<void> check_sampling(const api::Sampling& sampling) {
  const auto check = [](const char* name, double value, double low, double high) -> Result<void> {
    if (value >= low && value <= high) return {};  // false for NaN
    return invalid_argument(
        fmt::format("{} is {}, it must be between {} and {}", name, value, low, high));
  };
  PARING_TRY_VOID(check("temperature", sampling.temperature, 0.0, 100.0));
  PARING_TRY_VOID(check("top_p", sampling.top_p, 0.0, 1.0));
  PARING_TRY_VOID(check("min_p", sampling.min_p, 0.0, 1.0));
  PARING_TRY_VOID(check("repetition_penalty", sampling.repetition_penalty, 0.01, 100.0));
  return {};
}

std::int32_t most_likely(std::span<const float> logits) noexcept {
  return static_cast<std::int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

void Sampler::penalize(std::span<const std::int32_t> history,
                       std::span<Candidate> candidates) const {
  // As in CTRL (arXiv:1909.05858, sec. 4.1), once per distinct token; negative logits are
  // multiplied so that the penalty always lowers them.
  const std::size_t window = std::min(history.size(), kPenaltyWindowTokens);
  std::vector<std::int32_t> recent(history.end() - static_cast<std::ptrdiff_t>(window),
                                   history.end());
  std::sort(recent.begin(), recent.end());
  recent.erase(std::unique(recent.begin(), recent.end()), recent.end());
  const auto penalty = static_cast<float>(sampling_.repetition_penalty);
  for (const std::int32_t token : recent) {
    float& logit = candidates[static_cast<std::size_t>(token)].logit;
    logit = logit > 0 ? logit / penalty : logit * penalty;
  }
}

std::int32_t Sampler::sample(std::span<const float> logits, std::span<const std::int32_t> history,
                             std::uint64_t position) const {
  const bool has_penalty = sampling_.repetition_penalty != 1.0;
  // Ties go to the lower id, so that the order is total and the result reproducible.
  if (sampling_.temperature == 0.0 && !has_penalty) {
    return most_likely(logits);
  }
  thread_local std::vector<Candidate> scratch;  // one a worker instead of one a sequence
  scratch.resize(logits.size());
  const std::span<Candidate> candidates = scratch;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    candidates[i] = {logits[i], static_cast<std::int32_t>(i)};
  }
  if (has_penalty) penalize(history, candidates);
  const auto before = [](const Candidate& a, const Candidate& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
  };
  if (sampling_.temperature == 0.0) {
    return std::min_element(candidates.begin(), candidates.end(), before)->token;
  }
  const std::size_t keep = sampling_.top_k == 0
                               ? candidates.size()
                               : std::min<std::size_t>(sampling_.top_k, candidates.size());
  std::partial_sort(candidates.begin(), candidates.begin() + static_cast<std::ptrdiff_t>(keep),
                    candidates.end(), before);
  const double top = candidates[0].logit;
  std::vector<double> weights;
  double total = 0;
  for (std::size_t i = 0; i < keep; ++i) {
    const double weight = std::exp((candidates[i].logit - top) / sampling_.temperature);
    if (i > 0 && weight < sampling_.min_p) break;  // relative to the most likely, whose weight is 1
    weights.push_back(weight);
    total += weight;
  }
  double kept = 0;
  std::size_t count = 0;
  while (count < weights.size() && (count == 0 || kept < sampling_.top_p * total)) {
    kept += weights[count++];
  }
  RandomStream stream({sampling_.seed, sequence_, static_cast<std::uint32_t>(position)});
  double left = stream.uniform() * kept;
  for (std::size_t i = 0; i + 1 < count; ++i) {
    left -= weights[i];
    if (left < 0) return candidates[i].token;
  }
  return candidates[count - 1].token;
}

}  // namespace paring::engine
