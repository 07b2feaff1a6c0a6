// SPDX-License-Identifier: Apache-2.0
// Where energy went: to requests, by the seconds that steps worked for them; to the machine that
// waited; to computing that nobody asked for. Nothing is lost: the accounts and what is not given
// out yet add up to what came in, exactly.
//
// While the engine computes, all of the machine's energy is the work's; while it waits, it is idle.
// What is not given out is a pool of joules and seconds of work. A request that ends takes its
// seconds' worth of the pool. It may end before its last second was measured: then the pool owes,
// and the next measurement settles it. Thread-safe.
#pragma once

#include <mutex>

namespace paring::monitor {

// Joules.
struct EnergyTotals {
  double requests = 0;
  double idle = 0;
  double background = 0;  // computed for no request: what the pool held when the engine was idle
  double pool = 0;        // not given out yet; below 0 while it owes
  double total() const noexcept { return requests + idle + background + pool; }
};

class EnergyAccount {
 public:
  // What came in over `wall_seconds`, of which the engine computed `busy_seconds`. An engine that
  // did not compute at all has nothing to do for anybody.
  void add(double joules, double busy_seconds, double wall_seconds);
  // For a request that ended: the joules of its seconds of work. 0 before anything was measured
  // while the engine computed.
  double charge(double work_seconds);
  // Joules a second of work; 0: not known yet.
  double watts_of_work() const;
  EnergyTotals totals() const;

 private:
  mutable std::mutex mutex_;
  EnergyTotals totals_;
  double pool_seconds_ = 0;
  double rate_ = 0;
  double idle_watts_ = -1;  // of intervals in which nothing was computed; below 0: none yet
};

}  // namespace paring::monitor
