// SPDX-License-Identifier: Apache-2.0
// What the machine and this process use, at one moment and over the last hour. Whoever has a thread
// that wakes once a second calls sample(). Figures that the system does not tell are absent, never
// guessed. Thread-safe.
//
//   HostSampler host({});
//   host.sample();  // each second
//   for (const HostSample& sample : host.since(now - 60)) ...
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "monitor/memory_counters.h"

namespace paring::monitor {

struct HostSample {
  double at_s = 0;     // since 1970
  double seconds = 0;  // since the sample before, which is what rates and counts are about

  // CPUs that were busy, on average: 1.5 is one and a half. The machine's include all processes
  // and what a hypervisor took away. Absent in the first sample, as all that is counted.
  std::optional<double> host_cpus;
  std::optional<double> process_cpus;
  std::optional<std::uint64_t> minor_faults;
  std::optional<std::uint64_t> major_faults;  // had to read from disk
  // Of CPU time that a quota took, of this process's control group and those above it together.
  std::optional<double> throttled_seconds;
  // Moved by the memory controllers a second, for all processes; absent where we may not look.
  std::optional<double> memory_bytes_per_second;

  std::optional<double> frequency_hz;  // mean of the CPUs, looked at every kFrequencyEvery samples
  std::optional<std::uint64_t> resident_bytes;
  std::optional<std::uint64_t> available_bytes;  // also within the control groups' limits
  std::optional<double> cpu_quota;               // CPUs, from control groups
  std::optional<std::uint64_t> memory_limit_bytes;
  std::optional<std::uint64_t> memory_used_bytes;  // by the group that has the limit
};

class HostSampler {
 public:
  static constexpr std::size_t kFrequencyEvery = 10;
  // CPUs whose frequency is looked at: on a machine of hundreds the files alone cost milliseconds.
  static constexpr int kFrequencyCpusMax = 16;

  struct Options {
    std::string root{};                   // in front of /proc and /sys; "": this machine's
    std::size_t samples = 3600;           // kept: an hour of seconds
    MemoryCounters::Open open_counter{};  // empty: the kernel's
  };
  explicit HostSampler(Options options, const Clock& clock = system_clock());

  HostSample sample();
  std::optional<HostSample> latest() const;
  // Samples after `at_s`, oldest first.
  std::vector<HostSample> since(double at_s) const;

 private:
  // What only grows; of the sample before.
  struct Counts {
    std::optional<double> host_seconds;
    std::optional<double> process_seconds;
    std::optional<std::uint64_t> minor_faults;
    std::optional<std::uint64_t> major_faults;
    std::optional<double> throttled_seconds;
    std::optional<double> memory_bytes;
  };
  void read_process(Counts& counts, HostSample& sample) const;
  void read_memory(HostSample& sample) const;
  std::optional<double> read_throttled() const;
  std::optional<double> read_frequency() const;

  const Options options_;
  const Clock& clock_;
  const std::vector<std::string> cpu_stats_;  // files of control groups
  const Result<MemoryCounters> memory_counters_;
  mutable std::mutex mutex_;  // guards the following
  std::optional<Counts> before_;
  double sampled_at_ = 0;
  std::optional<double> frequency_hz_;
  std::size_t taken_ = 0;            // samples ever
  std::vector<HostSample> samples_;  // a ring: number i is at i % options_.samples
};

}  // namespace paring::monitor
