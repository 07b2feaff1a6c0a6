// SPDX-License-Identifier: Apache-2.0
// Statistics as a file of a search's journal, so that a run that was killed need not collect them
// again. Native byte order: the file never leaves the machine.
#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "shrink/statistics.h"

namespace paring::shrink {

// Atomic.
Result<void> save_statistics(const std::string& path, const Statistics& statistics);
// Nothing when there is no such file or when it is not whole: then they are collected anew.
std::optional<Statistics> load_statistics(const std::string& path);

}  // namespace paring::shrink
