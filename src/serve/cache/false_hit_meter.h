// SPDX-License-Identifier: Apache-2.0
// FalseHitMeter: how often a cache that answers by likeness would have been wrong, from checked
// cases, and whether it may answer: only while the upper bound of the rate (95 %) is within what
// the operator allows. Before enough cases are checked it may not. Thread-compatible.
#pragma once

#include <cstddef>
#include <cstdint>

namespace paring::serve {

struct RateBounds {
  double lower = 0;
  double upper = 1;
};
// Wilson's score interval at 95 % for `failures` of `trials` (Wilson 1927, JASA 22, p. 209).
RateBounds wilson_bounds(double failures, double trials) noexcept;

class FalseHitMeter {
 public:
  enum class State : std::uint8_t {
    kTrial,    // not shown to be good enough: what would be given is only compared
    kServing,  // the upper bound is within the limit
    kOff,      // the lower bound is beyond it: shown to be bad, for good
  };

  // `rate_max` 0 to 1. With 1 nothing needs to be shown.
  explicit FalseHitMeter(double rate_max);

  // One more case was checked.
  void note(bool is_false);

  State state() const noexcept { return state_; }
  RateBounds bounds() const noexcept { return wilson_bounds(false_, checked_); }
  // Cases that count; old ones fade, so that what changes shows.
  double checked() const noexcept { return checked_; }
  // Checked cases without a false one after which the cache may answer.
  static double cases_needed(double rate_max) noexcept;

 private:
  void judge() noexcept;

  double rate_max_;
  double window_;  // beyond so many cases, all count half
  double checked_ = 0;
  double false_ = 0;
  State state_ = State::kTrial;
};

}  // namespace paring::serve
