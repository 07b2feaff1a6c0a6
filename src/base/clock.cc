// SPDX-License-Identifier: Apache-2.0
#include "base/clock.h"

#include <fmt/core.h>
#include <time.h>

#include <cmath>

namespace paring {
namespace {

double read_clock(clockid_t id) noexcept {
  timespec now{};
  clock_gettime(id, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

class SystemClock final : public Clock {
 public:
  double monotonic_seconds() const noexcept override { return read_clock(CLOCK_MONOTONIC); }
  double wall_seconds() const noexcept override { return read_clock(CLOCK_REALTIME); }
};

}  // namespace

const Clock& system_clock() noexcept {
  static const SystemClock clock;
  return clock;
}

std::string format_utc(double wall_seconds) {
  const auto seconds = static_cast<time_t>(std::floor(wall_seconds));
  tm parts{};
  gmtime_r(&seconds, &parts);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", parts.tm_year + 1900, parts.tm_mon + 1,
                     parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
}

}  // namespace paring
