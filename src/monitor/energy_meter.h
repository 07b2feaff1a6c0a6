// SPDX-License-Identifier: Apache-2.0
// EnergyMeter: what the machine uses, each second, from its counters (RAPL) where it has some that
// we may read, else from a stated model of watts, and what of it each request's work took. One
// thread of its own, which reads a few files a second. Thread-safe.
//
//   EnergyMeter meter({.busy_seconds = [] { return metrics().step_seconds.sum(); }});
//   request.joules = meter.charge(work_seconds);
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "base/clock.h"
#include "base/thread.h"
#include "cost/energy.h"
#include "cost/machine.h"
#include "monitor/energy_account.h"
#include "monitor/machine_watch.h"
#include "store/traffic_rows.h"

namespace paring::monitor {

// Watts of a machine without a counter: idle + busy CPUs x a CPU's. An estimate, and said to be
// one wherever it shows.
struct WattsModel {
  double idle = 0;      // the machine's, memory included
  double busy_cpu = 0;  // more for each CPU that computes
  // Averages over servers of public clouds (Cloud Carbon Footprint, "Methodology": SPECpower
  // figures of a virtual CPU at 0 and 100 % use, and memory modules): 0.74 W and 3.5 W a CPU,
  // 0.392 W a GB.
  static WattsModel of_machine(const cost::Machine& machine) noexcept;
};

class EnergyMeter {
 public:
  struct Options {
    std::function<double()> busy_seconds;  // of the engine's steps, since any time
    WattsModel model;                      // where there is no counter
    std::string root;                      // in front of /sys and /proc; "": this machine's
    // Sampled in the same seconds; what its GPUs use is added. Null: no other samples.
    MachineWatch* machine = nullptr;
    double period_seconds = 1;  // 0: no thread, for tests that call sample()
  };
  explicit EnergyMeter(const Options& options, const Clock& clock = system_clock());
  ~EnergyMeter();
  EnergyMeter(const EnergyMeter&) = delete;
  EnergyMeter& operator=(const EnergyMeter&) = delete;

  // kMeasured or kEstimated. Counters that go away make it estimated from then on.
  store::JoulesKind kind() const;
  // Of a request that ended. The first one may take a measurement, some tens of microseconds.
  double charge(double work_seconds);
  EnergyTotals totals() const { return account_.totals(); }
  double watts_of_work() const { return account_.watts_of_work(); }
  // What the thread does.
  void sample();

 private:
  void run();
  void take(const GpuEnergy& gpus);
  double host_cpu_seconds() const;

  const Options options_;
  const Clock& clock_;
  EnergyAccount account_;
  mutable std::mutex mutex_;  // guards the following
  std::unique_ptr<cost::EnergyReader> reader_;
  double sampled_at_ = 0;
  double busy_ = 0;
  double joules_ = 0;  // of the reader
  double cpu_ = 0;
  bool are_gpus_measured_ = true;
  bool is_stopping_ = false;
  std::condition_variable stopping_;
  Thread thread_;
};

}  // namespace paring::monitor
