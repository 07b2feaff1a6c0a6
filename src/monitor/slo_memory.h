// SPDX-License-Identifier: Apache-2.0
// The state of objectives and alerts as a file. Stateless.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "monitor/slo_board.h"

namespace paring::monitor {

// Objectives that count each minute for months have less than this.
inline constexpr std::size_t kSloMemoryBytesMax = std::size_t{64} << 20;

std::string slo_memory_text(const SloMemory& memory);
// Corrupt: no such text, or one of another version.
Result<SloMemory> parse_slo_memory(std::string_view text);

// Replaces the file as a whole. Errors of io::write_file().
Result<void> save_slo_memory(const std::string& path, const SloMemory& memory);
// Nothing: there is no file. Corrupt; errors of read_small_file().
Result<std::optional<SloMemory>> load_slo_memory(const std::string& path);

}  // namespace paring::monitor
