// SPDX-License-Identifier: Apache-2.0
#include "monitor/machine_watch.h"

#include <utility>

namespace paring::monitor {

namespace {

template <typename Amount>
void grow(std::optional<double>& total, const std::optional<Amount>& amount, double factor = 1) {
  if (amount) total = total.value_or(0) + static_cast<double>(*amount) * factor;
}

}  // namespace

MachineWatch::MachineWatch(Options options, const Clock& clock)
    : host_(std::move(options.host), clock), gpus_(options.gpus) {}

GpuEnergy MachineWatch::sample() {
  // Drivers may take their time: nobody who reads waits for them.
  HostSample host = host_.sample();
  const std::vector<GpuSample> gpus = gpus_.sample();
  const std::lock_guard lock(mutex_);
  HostTotals& totals = reading_.totals;
  grow(totals.host_cpu_seconds, host.host_cpus, host.seconds);
  grow(totals.process_cpu_seconds, host.process_cpus, host.seconds);
  grow(totals.throttled_seconds, host.throttled_seconds);
  grow(totals.memory_bytes, host.memory_bytes_per_second, host.seconds);
  grow(totals.minor_faults, host.minor_faults);
  grow(totals.major_faults, host.major_faults);
  const GpuEnergy energy = take(gpus, host.seconds);
  reading_.host = std::move(host);
  return energy;
}

// A driver's counter counts from when the driver was loaded; one that went back was loaded again.
GpuEnergy MachineWatch::take(const std::vector<GpuSample>& gpus, double seconds) {
  GpuEnergy energy;
  reading_.gpus.clear();
  for (const GpuSample& gpu : gpus) {
    GpuTotals& totals = gpu_totals_[{gpu.vendor, gpu.index}];
    double joules = 0;
    if (gpu.joules) {
      if (totals.counter && *gpu.joules > *totals.counter) joules = *gpu.joules - *totals.counter;
    } else if (gpu.watts) {
      joules = *gpu.watts * seconds;
      totals.is_measured = false;
      energy.is_measured = false;
    } else {
      energy.is_measured = false;
    }
    totals.counter = gpu.joules;
    totals.joules += joules;
    energy.joules += joules;
    reading_.gpus.push_back({.sample = gpu,
                             .joules = totals.joules,
                             .has_energy = gpu.joules || gpu.watts,
                             .is_joules_measured = totals.is_measured});
  }
  return energy;
}

MachineReading MachineWatch::reading() const {
  const std::lock_guard lock(mutex_);
  return reading_;
}

}  // namespace paring::monitor
