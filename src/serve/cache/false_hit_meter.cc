// SPDX-License-Identifier: Apache-2.0
#include "serve/cache/false_hit_meter.h"

#include <algorithm>
#include <cmath>

namespace paring::serve {

namespace {

constexpr double kZ = 1.959963984540054;  // of the normal distribution, 95 % within
// Cases remembered, as a multiple of those that are needed to begin.
constexpr double kWindowFactor = 8;
constexpr double kWindowMin = 64;

}  // namespace

RateBounds wilson_bounds(double failures, double trials) noexcept {
  if (trials <= 0) return {};
  const double rate = failures / trials;
  const double z2 = kZ * kZ;
  const double scale = 1 / (1 + z2 / trials);
  const double center = scale * (rate + z2 / (2 * trials));
  const double half =
      scale * kZ * std::sqrt(rate * (1 - rate) / trials + z2 / (4 * trials * trials));
  return {std::max(0.0, center - half), std::min(1.0, center + half)};
}

// Without a failure the upper bound is z^2 / (trials + z^2).
double FalseHitMeter::cases_needed(double rate_max) noexcept {
  return rate_max <= 0 ? HUGE_VAL : std::ceil(kZ * kZ * (1 - rate_max) / rate_max);
}

FalseHitMeter::FalseHitMeter(double rate_max)
    : rate_max_(rate_max), window_(std::max(kWindowMin, kWindowFactor * cases_needed(rate_max))) {
  judge();
}

void FalseHitMeter::note(bool is_false) {
  checked_ += 1;
  false_ += is_false ? 1 : 0;
  if (checked_ > window_) {
    checked_ /= 2;
    false_ /= 2;
  }
  judge();
}

void FalseHitMeter::judge() noexcept {
  if (state_ == State::kOff) return;
  const RateBounds now = bounds();
  state_ = now.lower > rate_max_    ? State::kOff
           : now.upper <= rate_max_ ? State::kServing
                                    : State::kTrial;
}

}  // namespace paring::serve
