// SPDX-License-Identifier: Apache-2.0
#include "monitor/live_quality.h"

#include <algorithm>
#include <cmath>

namespace paring::monitor {

namespace {

constexpr double kNormal95 = 1.959964;

// Sum of values over sum of tokens. Its variance is that of a ratio of two means of answers, to
// first order (Cochran, Sampling Techniques, 3rd ed., sec. 2.11): tokens of one answer are alike,
// and taking them for independent would make the interval too narrow.
template <typename Value>
LiveMean mean_of(const std::deque<measure::RescoredAnswer>& answers, const Value& value) {
  double sum = 0;
  double tokens = 0;
  for (const measure::RescoredAnswer& answer : answers) {
    sum += value(answer);
    tokens += static_cast<double>(answer.tokens);
  }
  if (tokens == 0) return {};
  LiveMean result{.mean = sum / tokens};
  const auto count = static_cast<double>(answers.size());
  if (answers.size() < static_cast<std::size_t>(LiveQuality::kIntervalAnswersMin)) return result;
  double squares = 0;
  for (const measure::RescoredAnswer& answer : answers) {
    const double off = value(answer) - result.mean * static_cast<double>(answer.tokens);
    squares += off * off;
  }
  const double error = std::sqrt(count / (count - 1) * squares) / tokens;
  result.low = result.mean - kNormal95 * error;
  result.high = result.mean + kNormal95 * error;
  return result;
}

}  // namespace

const char* drift_name(Drift drift) noexcept {
  static constexpr const char* kNames[] = {
#define PARING_X(name, text) text,
      PARING_DRIFTS(PARING_X)
#undef PARING_X
  };
  return kNames[static_cast<std::size_t>(drift)];
}

bool LiveQuality::add(const measure::RescoredAnswer& answer) {
  const std::lock_guard lock(mutex_);
  if (answer.tokens == 0) return false;
  window_.push_back(answer);
  if (window_.size() > options_.window_answers) window_.pop_front();
  ++answers_;
  tokens_ += static_cast<std::int64_t>(answer.tokens);
  const Drift before = drift_;
  const LiveStanding now = standing_now();
  if (!options_.certified_kl) {
    drift_ = Drift::kUncertified;
  } else if (now.window_answers < kDriftAnswersMin || !now.kl.low) {
    drift_ = Drift::kLearning;
  } else {
    const double bound = options_.drift_factor * *options_.certified_kl;
    if (*now.kl.low > bound) {
      drift_ = Drift::kDrifted;
    } else if (before != Drift::kDrifted || now.kl.mean < bound) {
      drift_ = Drift::kKept;
    }
  }
  return (before == Drift::kDrifted) != (drift_ == Drift::kDrifted);
}

LiveStanding LiveQuality::standing_now() const {
  LiveStanding now;
  now.answers = answers_;
  now.tokens = tokens_;
  now.window_answers = static_cast<std::int64_t>(window_.size());
  now.kl = mean_of(window_, [](const auto& answer) { return answer.kl_sum; });
  if (now.kl.low) now.kl.low = std::max(0.0, *now.kl.low);
  now.same_top =
      mean_of(window_, [](const auto& answer) { return static_cast<double>(answer.same_top); });
  if (now.same_top.low) now.same_top.low = std::max(0.0, *now.same_top.low);
  if (now.same_top.high) now.same_top.high = std::min(1.0, *now.same_top.high);
  now.changed_answers = std::count_if(window_.begin(), window_.end(), [](const auto& answer) {
    return answer.first_changed.has_value();
  });
  now.certified_kl = options_.certified_kl;
  now.drift = drift_;
  return now;
}

LiveStanding LiveQuality::standing() const {
  const std::lock_guard lock(mutex_);
  LiveStanding now = standing_now();
  if (options_.certified_kl && now.window_answers == 0) now.drift = Drift::kLearning;
  return now;
}

}  // namespace paring::monitor
