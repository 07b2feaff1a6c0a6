// SPDX-License-Identifier: Apache-2.0
// How a search divides the time it was given, so that an answer stands when it is over: early steps
// get shares that they must not exceed, and what writing and judging the answer will take is set
// aside from what was measured of it so far. A busy machine makes the steps shorter, not the run
// longer. Immutable; seconds are of the monotonic clock.
#pragma once

#include <cstddef>

#include "base/clock.h"
#include "measure/bench.h"

namespace paring::shrink {

// What the last judgement costs, as far as it is known.
struct JudgeCosts {
  double window_seconds = 0;   // of one held-out window in one pass of a model
  double publish_seconds = 0;  // of writing the file under its name
  double speed_seconds = 0;    // of both models' speeds in full
};

class TimePlan {
 public:
  // `clock` must outlive the object. REQUIRES: limit_seconds > 0
  TimePlan(double start, double limit_seconds, const Clock& clock)
      : start_(start), limit_(limit_seconds), clock_(&clock) {}

  double end() const { return start_ + limit_; }
  // Seconds that are left, never negative.
  double left() const;
  bool is_over() const { return left() <= 0; }
  // When collecting statistics, and when measuring what encodings lose, must stop.
  double statistics_end() const;
  double encodings_end() const;
  // When the search must stop so that the winner can be written and judged on `windows` windows.
  // A bound that only the written file can be held against (`may_retry`) may need a second winner.
  double search_end(const JudgeCosts& costs, std::size_t windows, bool may_retry) const;
  // How many of `wanted` held-out windows the winner can be judged on in what is left; at least
  // kHoldoutWindowsMin (or all there are).
  std::size_t holdout_windows(const JudgeCosts& costs, std::size_t wanted) const;
  // What timing both models may take: `full`, or less of it when `seconds` (what one round of
  // `full` takes for both) does not fit what is left after writing.
  measure::BenchOptions speed_options(const measure::BenchOptions& full, double round_seconds,
                                      double publish_seconds) const;

  static constexpr std::size_t kHoldoutWindowsMin = 4;
  // Passes over the held-out text: the original exact and as served, the result in both.
  static constexpr double kPasses = 4;

 private:
  double start_;
  double limit_;
  const Clock* clock_;
};

}  // namespace paring::shrink
