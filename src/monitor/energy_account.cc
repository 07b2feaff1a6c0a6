// SPDX-License-Identifier: Apache-2.0
#include "monitor/energy_account.h"

#include <algorithm>

namespace paring::monitor {

namespace {

// Of the newest idle interval in the mean.
constexpr double kIdleWeight = 0.1;
// Less work than this says nothing of joules a second.
constexpr double kRateSecondsMin = 1e-4;

}  // namespace

void EnergyAccount::add(double joules, double busy_seconds, double wall_seconds) {
  if (!(joules >= 0) || !(wall_seconds > 0)) return;
  const double busy = std::clamp(busy_seconds, 0.0, wall_seconds);
  const std::lock_guard lock(mutex_);
  if (busy == 0) {
    const double watts = joules / wall_seconds;
    idle_watts_ = idle_watts_ < 0 ? watts : idle_watts_ + kIdleWeight * (watts - idle_watts_);
    totals_.idle += joules;
    // Nobody is left who could ask for the pool.
    (totals_.pool > 0 ? totals_.background : totals_.idle) += totals_.pool;
    totals_.pool = 0;
    pool_seconds_ = 0;
    return;
  }
  const double waited = wall_seconds - busy;
  const double even = joules * waited / wall_seconds;
  const double idle = idle_watts_ < 0 ? even : std::min(even, idle_watts_ * waited);
  totals_.idle += idle;
  totals_.pool += joules - idle;
  pool_seconds_ += busy;
  if (pool_seconds_ > kRateSecondsMin && totals_.pool > 0) {
    rate_ = totals_.pool / pool_seconds_;
  } else if (busy > kRateSecondsMin) {
    rate_ = (joules - idle) / busy;
  }
}

double EnergyAccount::charge(double work_seconds) {
  if (!(work_seconds > 0)) return 0;
  const std::lock_guard lock(mutex_);
  const double joules = work_seconds * rate_;
  totals_.requests += joules;
  totals_.pool -= joules;
  pool_seconds_ -= work_seconds;
  return joules;
}

double EnergyAccount::watts_of_work() const {
  const std::lock_guard lock(mutex_);
  return rate_;
}

EnergyTotals EnergyAccount::totals() const {
  const std::lock_guard lock(mutex_);
  return totals_;
}

}  // namespace paring::monitor
