// SPDX-License-Identifier: Apache-2.0
// Bytes that the memory controllers moved, of all processes, by their own counters (perf events of
// Intel's "uncore_imc" units; sysfs says which and how). Most virtual machines have none and most
// systems let only root read them: then there is no figure, never an estimate. Not thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace paring::monitor {

class MemoryCounters {
 public:
  // A descriptor of the event, below 0 where the system refuses. It is read as
  // perf_event_open(2) says: value, time enabled, time running.
  using Open = std::function<int(std::uint32_t type, std::uint64_t config, int cpu)>;

  // Unavailable when the machine has no such counters, or does not let us read all of them. `root`
  // stands in front of /sys; without `open` the kernel is asked.
  static Result<MemoryCounters> create(const std::string& root = "", Open open = {});
  ~MemoryCounters();
  MemoryCounters(MemoryCounters&& other) noexcept = default;
  MemoryCounters(const MemoryCounters&) = delete;
  MemoryCounters& operator=(const MemoryCounters&) = delete;

  // Read and written since create(). Absent when a counter was not counting all of the time.
  std::optional<double> bytes() const;

 private:
  struct Counter {
    int descriptor = -1;
    double unit_bytes = 0;
  };
  MemoryCounters() = default;
  std::vector<Counter> counters_;
};

}  // namespace paring::monitor
