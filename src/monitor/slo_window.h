// SPDX-License-Identifier: Apache-2.0
// SloWindow: what was bad among how many, by minute for three days and by hour for a month.
// Thread-compatible.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "monitor/slo.h"

namespace paring::monitor {

// Sums of the last `size` periods of time. What comes late is added where it belongs.
class SloRing {
 public:
  struct Cell {
    std::int64_t period = 0;  // since 1970
    SloSum sum;
  };
  SloRing(std::size_t size, double period_s) : period_s_(period_s), sums_(size) {}

  // False: it is older than what is kept.
  bool add(double time_s, const SloSum& sum) noexcept;
  // Of the last `periods` until that of `now_s`, which has only begun.
  SloSum last(double now_s, std::int64_t periods) const noexcept;
  // Those that hold anything, ascending.
  std::vector<Cell> cells() const;
  std::int64_t period_of(double time_s) const noexcept;
  double period_s() const noexcept { return period_s_; }

 private:
  SloSum& at(std::int64_t period) noexcept;
  double period_s_;
  std::vector<SloSum> sums_;
  std::int64_t newest_ = -1;  // -1: nothing was added yet
};

struct SloSpan {
  SloSum sum;
  double seconds = 0;  // that it covers: the last minute or hour has only begun
};

class SloWindow {
 public:
  static constexpr std::size_t kMinutes = 3 * 24 * 60;
  static constexpr std::size_t kHours = 31 * 24 + 1;  // the longest month, and the hour that runs

  // False: it is older than a month, and does not count any more.
  bool add(double time_s, const SloSum& sum) noexcept;
  // The last `seconds`: to the minute up to kMinutesSecondsMax, beyond to the hour.
  SloSpan last(double now_s, double seconds) const noexcept;
  // Since the begin of an hour.
  SloSum since(double begin_s, double now_s) const noexcept;

  const SloRing& minutes() const noexcept { return minutes_; }
  const SloRing& hours() const noexcept { return hours_; }
  // Puts back what minutes() and hours() had.
  void restore(const std::vector<SloRing::Cell>& minutes, const std::vector<SloRing::Cell>& hours);

 private:
  SloRing minutes_{kMinutes, kMinuteSeconds};
  SloRing hours_{kHours, kHourSeconds};
};

// The begin of the day or month of UTC.
double period_begin(double now_s, bool is_monthly) noexcept;

}  // namespace paring::monitor
