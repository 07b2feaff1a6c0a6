// SPDX-License-Identifier: Apache-2.0
// What `paring info` measured of this machine, kept for `paring serve`, which has no time to
// measure: XDG_CACHE_HOME/paring/machine.json, else ~/.cache/paring/machine.json. Stateless.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "base/result.h"
#include "cost/probes.h"

namespace paring::cli {

// InvalidArgument without XDG_CACHE_HOME and HOME.
Result<std::string> machine_figures_path();
// Errors of io::AtomicFile. `cpu`: cost::Machine::cpu.
Result<void> save_machine_figures(const std::string& path, const std::string& cpu,
                                  const cost::Probes& probes);
// Nothing when there is no such file, when it cannot be read, or when it is of another CPU,
// instruction set or number of threads.
std::optional<cost::Probes> load_machine_figures(const std::string& path, const std::string& cpu,
                                                 const std::string& isa, std::size_t threads);

}  // namespace paring::cli
