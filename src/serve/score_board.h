// SPDX-License-Identifier: Apache-2.0
// Scores summed up for pages of metrics. The table may be long, so that it is read again after
// kSeconds at the earliest, however often it is asked. Thread-safe.
#pragma once

#include <mutex>
#include <vector>

#include "base/clock.h"
#include "store/control_db.h"
#include "store/scores.h"

namespace paring::serve {

class ScoreBoard {
 public:
  static constexpr double kSeconds = 10;
  static constexpr std::int64_t kSeriesMax = 100;  // names and sources, the most frequent

  explicit ScoreBoard(const Clock& clock = system_clock()) : clock_(clock) {}
  // What was last read stays where reading fails.
  std::vector<store::ScoreSum> sums(const store::ControlDb& control);

 private:
  const Clock& clock_;
  std::mutex mutex_;  // guards the following
  double read_at_ = 0;
  bool is_read_ = false;
  std::vector<store::ScoreSum> sums_;
};

}  // namespace paring::serve
