// SPDX-License-Identifier: Apache-2.0
// Rows of traffic to somewhere else, newest first, a page at a time: a million rows take the memory
// of one page.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "base/result.h"
#include "store/traffic.h"

namespace paring::monitor {

// Rows of a page; with their texts a page has less.
inline constexpr std::int64_t kExportRows = 1000;
inline constexpr std::int64_t kExportRowsWithContent = 64;

using ExportSink = std::function<Result<void>(std::span<const store::TrafficRequest>)>;

// How many rows went. The first error of the database or of `sink`.
Result<std::int64_t> export_traffic(const store::TrafficDb& traffic,
                                    const store::TrafficFilter& filter, bool with_content,
                                    const ExportSink& sink);

}  // namespace paring::monitor
