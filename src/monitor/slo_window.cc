// SPDX-License-Identifier: Apache-2.0
#include "monitor/slo_window.h"

#include <algorithm>
#include <chrono>
#include <cmath>

namespace paring::monitor {

std::int64_t SloRing::period_of(double time_s) const noexcept {
  return static_cast<std::int64_t>(std::floor(time_s / period_s_));
}

SloSum& SloRing::at(std::int64_t period) noexcept {
  return sums_[static_cast<std::size_t>(period) % sums_.size()];
}

bool SloRing::add(double time_s, const SloSum& sum) noexcept {
  const std::int64_t period = period_of(time_s);
  const auto size = static_cast<std::int64_t>(sums_.size());
  if (period < 0 || period <= newest_ - size) return false;
  if (period > newest_) {
    // Those between were without anything.
    for (std::int64_t p = std::max(newest_ + 1, period - size + 1); p <= period; ++p) at(p) = {};
    newest_ = period;
  }
  SloSum& cell = at(period);
  cell.events += sum.events;
  cell.bad += sum.bad;
  return true;
}

SloSum SloRing::last(double now_s, std::int64_t periods) const noexcept {
  SloSum all;
  const std::int64_t now = period_of(now_s);
  const auto size = static_cast<std::int64_t>(sums_.size());
  const std::int64_t first = std::max({now - periods + 1, newest_ - size + 1, std::int64_t{0}});
  for (std::int64_t p = first; p <= std::min(now, newest_); ++p) {
    const SloSum& cell = sums_[static_cast<std::size_t>(p) % sums_.size()];
    all.events += cell.events;
    all.bad += cell.bad;
  }
  return all;
}

std::vector<SloRing::Cell> SloRing::cells() const {
  std::vector<Cell> found;
  const auto size = static_cast<std::int64_t>(sums_.size());
  for (std::int64_t p = std::max(newest_ - size + 1, std::int64_t{0}); p <= newest_; ++p) {
    const SloSum& cell = sums_[static_cast<std::size_t>(p) % sums_.size()];
    if (cell.events != 0 || cell.bad != 0) found.push_back({p, cell});
  }
  return found;
}

bool SloWindow::add(double time_s, const SloSum& sum) noexcept {
  minutes_.add(time_s, sum);  // older ones count by hours only
  return hours_.add(time_s, sum);
}

SloSpan SloWindow::last(double now_s, double seconds) const noexcept {
  const SloRing& ring = seconds <= kMinutesSecondsMax ? minutes_ : hours_;
  const double period = ring.period_s();
  const auto periods = static_cast<std::int64_t>(std::ceil(seconds / period));
  const double begun = now_s - static_cast<double>(ring.period_of(now_s)) * period;
  return {ring.last(now_s, periods), static_cast<double>(periods - 1) * period + begun};
}

SloSum SloWindow::since(double begin_s, double now_s) const noexcept {
  const std::int64_t begin = hours_.period_of(begin_s);
  return hours_.last(now_s, hours_.period_of(now_s) - begin + 1);
}

void SloWindow::restore(const std::vector<SloRing::Cell>& minutes,
                        const std::vector<SloRing::Cell>& hours) {
  for (const SloRing::Cell& cell : minutes) {
    minutes_.add(static_cast<double>(cell.period) * kMinuteSeconds, cell.sum);
  }
  for (const SloRing::Cell& cell : hours) {
    hours_.add(static_cast<double>(cell.period) * kHourSeconds, cell.sum);
  }
}

double period_begin(double now_s, bool is_monthly) noexcept {
  using std::chrono::sys_days;
  const sys_days day{std::chrono::days(static_cast<int>(std::floor(now_s / kDaySeconds)))};
  const std::chrono::year_month_day date(day);
  const sys_days begin = is_monthly ? sys_days(date.year() / date.month() / 1) : day;
  return static_cast<double>(
      std::chrono::duration_cast<std::chrono::seconds>(begin.time_since_epoch()).count());
}

}  // namespace paring::monitor
