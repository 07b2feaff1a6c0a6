// SPDX-License-Identifier: Apache-2.0
// Energy that the CPU packages and their memory used, from the powercap counters (RAPL). Most
// virtual machines have none and most systems let only root read them: then there is no figure,
// never an estimate. Not thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace paring::cost {

class EnergyReader {
 public:
  // Unavailable when the machine has no counter that we may read. `root` stands in front of
  // /sys/class/powercap, "" on a real machine.
  static Result<EnergyReader> create(const std::string& root = "");

  // Joules since create(), all domains together. The counters wrap around (after an hour at 70 W,
  // or minutes on large packages): call it at least once in between.
  Result<double> joules();
  // "package-0", "package-0/dram".
  std::vector<std::string> domains() const;

 private:
  struct Domain {
    std::string name;
    std::string path;                 // of the counter
    std::uint64_t range_microjoules;  // the counter wraps to 0 after this value
    std::uint64_t last_microjoules;
  };
  std::vector<Domain> domains_;
  std::uint64_t total_microjoules_ = 0;
};

}  // namespace paring::cost
