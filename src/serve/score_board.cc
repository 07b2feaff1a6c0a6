// SPDX-License-Identifier: Apache-2.0
#include "serve/score_board.h"

#include <utility>

#include "base/log.h"

namespace paring::serve {

std::vector<store::ScoreSum> ScoreBoard::sums(const store::ControlDb& control) {
  const std::lock_guard lock(mutex_);
  const double now = clock_.monotonic_seconds();
  if (is_read_ && now - read_at_ < kSeconds) return sums_;
  Result<std::vector<store::ScoreSum>> read = store::Scores(control).sums(kSeriesMax);
  if (read) {
    sums_ = *std::move(read);
  } else {
    log_warning("metrics show older sums of scores: " + read.error().text());
  }
  read_at_ = now;
  is_read_ = true;
  return sums_;
}

}  // namespace paring::serve
