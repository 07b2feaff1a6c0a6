// SPDX-License-Identifier: Apache-2.0
#include "model/experts.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace paring::model {

namespace {

float comparable(float score) noexcept {
  return std::isnan(score) ? -std::numeric_limits<float>::infinity() : score;
}

// The `used` best of `scores`, best first.
void pick_best(const ExpertSpec& spec, const float* scores, std::uint32_t* best) noexcept {
  std::size_t picked = 0;
  for (std::size_t e = 0; e < spec.count; ++e) {
    const float score = comparable(scores[e]);
    if (picked == spec.used && !(score > comparable(scores[best[picked - 1]]))) continue;
    std::size_t at = picked < spec.used ? picked++ : picked - 1;
    for (; at > 0 && score > comparable(scores[best[at - 1]]); --at) best[at] = best[at - 1];
    best[at] = static_cast<std::uint32_t>(e);
  }
}

}  // namespace

void choose_experts(const ExpertSpec& spec, const float* scores, std::uint32_t* experts,
                    float* weights) noexcept {
  pick_best(spec, scores, experts);
  const auto largest = static_cast<double>(scores[experts[0]]);
  std::sort(experts, experts + spec.used);
  std::array<double, kExpertsMax> powers;
  double sum_of_chosen = 0;
  for (std::size_t i = 0; i < spec.used; ++i) {
    powers[i] = std::exp(static_cast<double>(scores[experts[i]]) - largest);
    sum_of_chosen += powers[i];
  }
  double sum = sum_of_chosen;
  // Weights that are divided by their sum do not depend on what else they were divided by.
  if (spec.scores == ExpertScores::kSoftmaxOfAll && !spec.is_renormalized) {
    sum = 0;
    for (std::size_t e = 0; e < spec.count; ++e) {
      sum += std::exp(static_cast<double>(scores[e]) - largest);
    }
  }
  for (std::size_t i = 0; i < spec.used; ++i) weights[i] = static_cast<float>(powers[i] / sum);
}

}  // namespace paring::model
