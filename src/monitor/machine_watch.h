// SPDX-License-Identifier: Apache-2.0
// MachineWatch: the machine and its GPUs as they were in the last second, with what grew since the
// start. It has no thread: EnergyMeter's calls sample(), so that one thread wakes for all of it.
// Thread-safe; sample() is for one thread at a time.
#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "monitor/gpu_sampler.h"
#include "monitor/host_sampler.h"

namespace paring::monitor {

// Since the start; absent where the system does not tell.
struct HostTotals {
  std::optional<double> host_cpu_seconds;
  std::optional<double> process_cpu_seconds;
  std::optional<double> throttled_seconds;
  std::optional<double> memory_bytes;  // moved by the memory controllers
  std::optional<double> minor_faults;
  std::optional<double> major_faults;
};

struct GpuReading {
  GpuSample sample;
  double joules = 0;               // since the start
  bool has_energy = false;         // the driver tells joules or watts
  bool is_joules_measured = true;  // false: watts times seconds, for a part of the time at least
};

struct MachineReading {
  std::optional<HostSample> host;  // absent before the first sample
  HostTotals totals;
  std::vector<GpuReading> gpus;
};

// Of all GPUs, since the sample before.
struct GpuEnergy {
  double joules = 0;
  bool is_measured = true;
};

class MachineWatch {
 public:
  struct Options {
    HostSampler::Options host{};
    GpuSampler::Options gpus{};
  };
  explicit MachineWatch(Options options, const Clock& clock = system_clock());

  GpuEnergy sample();
  MachineReading reading() const;

 private:
  struct GpuTotals {
    std::optional<double> counter;  // of the driver, in the sample before
    double joules = 0;
    bool is_measured = true;
  };
  GpuEnergy take(const std::vector<GpuSample>& gpus, double seconds);

  HostSampler host_;
  GpuSampler gpus_;
  mutable std::mutex mutex_;  // guards the following
  MachineReading reading_;
  std::map<std::pair<std::string, int>, GpuTotals> gpu_totals_;  // by vendor and index
};

}  // namespace paring::monitor
