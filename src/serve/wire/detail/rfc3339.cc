// SPDX-License-Identifier: Apache-2.0
#include "serve/wire/detail/rfc3339.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

namespace paring::serve::wire {

std::string rfc3339(std::int64_t seconds) {
  constexpr std::int64_t kSecondsMax = 253402300799;  // the end of the year 9999
  const std::chrono::seconds since(std::clamp<std::int64_t>(seconds, 0, kSecondsMax));
  const std::chrono::sys_seconds time(since);
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(time - day);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                     clock.hours().count(), clock.minutes().count(), clock.seconds().count());
}

}  // namespace paring::serve::wire
