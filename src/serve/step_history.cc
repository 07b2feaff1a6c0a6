// SPDX-License-Identifier: Apache-2.0
#include "serve/step_history.h"

#include <algorithm>
#include <cmath>

namespace paring::serve {

namespace {

constexpr double kMinuteSeconds = 60;
constexpr const char* kNames[] = {
#define PARING_X(name, text) text,
    PARING_STEP_KINDS(PARING_X)
#undef PARING_X
};

std::int64_t minute_of(double wall_seconds) {
  return static_cast<std::int64_t>(std::floor(wall_seconds / kMinuteSeconds));
}

}  // namespace

const char* step_kind_name(StepKind kind) noexcept {
  return kNames[static_cast<std::size_t>(kind)];
}

StepTotals& StepTotals::operator+=(const StepTotals& more) noexcept {
  steps += more.steps;
  tokens += more.tokens;
  seconds += more.seconds;
  waited_seconds += more.waited_seconds;
  operations += more.operations;
  bytes += more.bytes;
  return *this;
}

void StepHistory::add(double wall_seconds, StepKind kind, const StepTotals& step) {
  const std::lock_guard lock(mutex_);
  newest_ = std::max(newest_, minute_of(wall_seconds));
  StepMinute& place = ring_[static_cast<std::size_t>(newest_) % kHistoryMinutes];
  if (place.minute != newest_) place = {.minute = newest_, .kinds = {}};
  place.kinds[static_cast<std::size_t>(kind)] += step;
}

std::vector<StepMinute> StepHistory::last(double wall_seconds, std::size_t minutes) const {
  const std::int64_t first =
      minute_of(wall_seconds - kMinuteSeconds * static_cast<double>(minutes));
  std::vector<StepMinute> found;
  {
    const std::lock_guard lock(mutex_);
    for (const StepMinute& each : ring_) {
      if (each.minute > 0 && each.minute >= first) found.push_back(each);
    }
  }
  std::sort(found.begin(), found.end(),
            [](const StepMinute& a, const StepMinute& b) { return a.minute < b.minute; });
  return found;
}

}  // namespace paring::serve
