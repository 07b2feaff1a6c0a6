// SPDX-License-Identifier: Apache-2.0
#include "model/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/check.h"

namespace paring::model {

namespace {

// Index of the pair that turns `turns` times in the original context (arXiv:2309.00071, eq. 13-14).
double pair_of_turns(const RopeSpec& spec, double turns) {
  const auto width = static_cast<double>(spec.width);
  const double wavelength = static_cast<double>(spec.original_context) / turns;
  return width * std::log(wavelength / (2 * std::numbers::pi)) /
         (2 * std::log(static_cast<double>(spec.base)));
}

// Share of each pair's own frequency, the rest being the stretched one's: 1 for pairs that turn
// fast, 0 for those that turn slowly, a line between. Ends are rounded outwards to whole pairs.
std::vector<double> yarn_shares(const RopeSpec& spec) {
  const double last = static_cast<double>(spec.width) - 1;
  const double begin = std::max(0.0, std::floor(pair_of_turns(spec, spec.beta_fast)));
  const double end = std::min(last, std::ceil(pair_of_turns(spec, spec.beta_slow)));
  std::vector<double> shares(spec.width / 2);
  for (std::size_t i = 0; i < shares.size(); ++i) {
    const double along = (static_cast<double>(i) - begin) / std::max(0.001, end - begin);
    shares[i] = 1 - std::clamp(along, 0.0, 1.0);
  }
  return shares;
}

}  // namespace

std::vector<double> rope_frequencies(const RopeSpec& spec, std::size_t context_tokens) {
  std::vector<double> frequencies(spec.width / 2);
  const bool is_long =
      spec.scaling == RopeScaling::kLongRope && context_tokens > spec.original_context;
  const std::vector<float>& divisors = is_long ? spec.long_divisors : spec.divisors;
  for (std::size_t i = 0; i < frequencies.size(); ++i) {
    frequencies[i] = std::pow(static_cast<double>(spec.base),
                              -2.0 * static_cast<double>(i) / static_cast<double>(spec.width));
    if (!divisors.empty()) frequencies[i] /= static_cast<double>(divisors[i]);
  }
  const auto factor = static_cast<double>(spec.factor);
  if (spec.scaling == RopeScaling::kLinear) {
    for (double& frequency : frequencies) frequency /= factor;
  }
  if (spec.scaling == RopeScaling::kYarn) {
    const std::vector<double> shares = yarn_shares(spec);
    for (std::size_t i = 0; i < frequencies.size(); ++i) {
      frequencies[i] *= shares[i] + (1 - shares[i]) / factor;
    }
  }
  return frequencies;
}

RopeTable::RopeTable(const RopeSpec& spec, std::size_t context_tokens)
    : half_(spec.width / 2),
      pairing_(spec.pairing),
      magnitude_(static_cast<double>(spec.magnitude)),
      frequencies_(rope_frequencies(spec, context_tokens)) {}

void RopeTable::extend(std::size_t count) {
  if (count <= count_) return;
  cos_.resize(count * half_);
  sin_.resize(count * half_);
  for (std::size_t position = count_; position < count; ++position) {
    for (std::size_t i = 0; i < half_; ++i) {
      const double angle = static_cast<double>(position) * frequencies_[i];
      cos_[position * half_ + i] = static_cast<float>(std::cos(angle) * magnitude_);
      sin_[position * half_ + i] = static_cast<float>(std::sin(angle) * magnitude_);
    }
  }
  count_ = count;
}

void RopeTable::apply(float* head, std::size_t position) const noexcept {
  PARING_DCHECK(position < count_, "extend() must cover the position");
  const float* cosine = cos_.data() + position * half_;
  const float* sine = sin_.data() + position * half_;
  // Distance between the two values of a pair, and between pairs.
  const std::size_t partner = pairing_ == RopePairing::kAdjacent ? 1 : half_;
  const std::size_t step = pairing_ == RopePairing::kAdjacent ? 2 : 1;
  for (std::size_t i = 0; i < half_; ++i) {
    float* a = head + i * step;
    const float x = a[0];
    const float y = a[partner];
    a[0] = x * cosine[i] - y * sine[i];
    a[partner] = x * sine[i] + y * cosine[i];
  }
}

}  // namespace paring::model
