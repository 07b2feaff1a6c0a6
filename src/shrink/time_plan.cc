// SPDX-License-Identifier: Apache-2.0
#include "shrink/time_plan.h"

#include <algorithm>
#include <cmath>

namespace paring::shrink {

namespace {

// On a quiet machine neither is reached: statistics are planned to take 15 %.
constexpr double kStatisticsEnd = 0.25;
constexpr double kEncodingsEnd = 0.4;
// What is set aside for the end at most: beyond it, judging on less text is the better use.
constexpr double kReserveShareMax = 0.3;
constexpr double kReserveShareMaxWithRetry = 0.45;
// Estimates of times are off by this much on a machine whose load changes.
constexpr double kDoubt = 1.25;
// Fewer tokens than these time the start of a run, not its speed.
constexpr double kShareMin = 1.0 / 8;

std::size_t part_of(std::size_t tokens, double share) {
  if (tokens == 0) return 0;
  return std::max<std::size_t>(1, static_cast<std::size_t>(share * static_cast<double>(tokens)));
}

}  // namespace

double TimePlan::left() const { return std::max(0.0, end() - clock_->monotonic_seconds()); }

double TimePlan::statistics_end() const { return start_ + kStatisticsEnd * limit_; }

double TimePlan::encodings_end() const { return start_ + kEncodingsEnd * limit_; }

double TimePlan::search_end(const JudgeCosts& costs, std::size_t windows, bool may_retry) const {
  const double judge = kPasses * costs.window_seconds * static_cast<double>(windows);
  const double once = kDoubt * (judge + costs.publish_seconds + costs.speed_seconds);
  return may_retry ? end() - std::min(2 * once, kReserveShareMaxWithRetry * limit_)
                   : end() - std::min(once, kReserveShareMax * limit_);
}

std::size_t TimePlan::holdout_windows(const JudgeCosts& costs, std::size_t wanted) const {
  const double each = kDoubt * kPasses * costs.window_seconds;
  const double time = left() - kDoubt * (costs.publish_seconds + costs.speed_seconds);
  const double affordable = each > 0 ? time / each : static_cast<double>(wanted);
  if (affordable >= static_cast<double>(wanted)) return wanted;
  const auto count = static_cast<std::size_t>(std::max(affordable, 0.0));
  return std::min(wanted, std::max(count, kHoldoutWindowsMin));
}

measure::BenchOptions TimePlan::speed_options(const measure::BenchOptions& full,
                                              double round_seconds, double publish_seconds) const {
  // A run to warm up precedes the repetitions.
  const double rounds = static_cast<double>(full.repetitions) + 1;
  const double time = std::max(0.0, left() - kDoubt * publish_seconds) / kDoubt;
  if (round_seconds * (rounds + static_cast<double>(full.busy_repetitions)) <= time) return full;
  measure::BenchOptions some = full;
  some.busy_repetitions = 0;
  if (round_seconds * rounds <= time) return some;
  const double affordable = round_seconds > 0 ? time / round_seconds : rounds;
  if (affordable >= 2) {
    some.repetitions = static_cast<std::size_t>(affordable) - 1;
    return some;
  }
  some.repetitions = 1;
  const double share = std::clamp(affordable / 2, kShareMin, 1.0);
  some.prefill_tokens = part_of(full.prefill_tokens, share);
  some.decode_tokens = part_of(full.decode_tokens, share);
  return some;
}

}  // namespace paring::shrink
