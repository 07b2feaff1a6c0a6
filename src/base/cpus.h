// SPDX-License-Identifier: Apache-2.0
// Which CPUs this process may use: its affinity mask, its control groups' quota, the physical cores
// behind the mask. `root` stands in front of every path, "" on a real machine. Thread-safe.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace paring {

// CPU numbers of the calling thread's affinity mask, ascending. Never empty.
std::vector<int> affinity_cpus();
// Confines the calling thread to `cpus`. False when the system refuses.
bool set_affinity(const std::vector<int>& cpus) noexcept;

// CPUs worth using under a quota of so many CPUs of time: rounded, at least 1 (ADR 27: two threads
// that stand still a third of the time decode as fast as one that never does, and read a prompt
// faster).
std::size_t cpus_within(double quota) noexcept;

struct CpuLimits {
  std::vector<int> cpus;        // of the mask, one hyperthread of every core first, then the others
  std::size_t cores = 1;        // distinct physical cores behind the mask
  std::optional<double> quota;  // CPUs of time, from the control groups

  // min(mask, physical cores, cpus_within(quota)), at least 1.
  std::size_t usable() const noexcept;
};
CpuLimits cpu_limits(const std::string& root, const std::vector<int>& affinity);

}  // namespace paring
