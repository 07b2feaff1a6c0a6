// SPDX-License-Identifier: Apache-2.0
// This machine as the engine sees it, for `paring info` and as the label beside measured figures.
// Thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace paring::cost {

struct Machine {
  std::string cpu;                     // "AMD EPYC 9B45", "" when the system does not tell
  std::vector<std::string> isa_flags;  // of the CPU's flags those that matter to kernels
  std::size_t logical_cpus = 0;        // in this process's affinity mask
  std::size_t cores = 0;               // physical cores behind them
  std::size_t usable_cores = 0;        // and within the CPU quota
  std::optional<double> cpu_quota;     // CPUs, from control groups
  std::size_t l1d_bytes = 0;           // of one core; 0 when not known, as below
  std::size_t l2_bytes = 0;            // of one core
  std::size_t l3_bytes = 0;            // all that the CPUs of the mask reach
  std::uint64_t memory_bytes = 0;
  std::optional<std::uint64_t> memory_limit_bytes;  // from control groups
  std::optional<std::uint64_t> memory_available_bytes;

  // "AMD EPYC, 2 cores".
  std::string label() const;
};

// `root` stands in front of every path, "" on a real machine; `cpus` is the affinity mask, empty
// for the calling thread's.
Machine read_machine(const std::string& root = "", std::vector<int> cpus = {});

}  // namespace paring::cost
