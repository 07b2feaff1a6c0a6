// SPDX-License-Identifier: Apache-2.0
// Log lines to stderr: time (UTC), level, text. Standard output belongs to results. Callers format
// the text themselves; control characters in it are escaped, secrets taken out (base/redact.h).
// Thread-safe.
#pragma once

#include <string_view>

#include "base/result.h"

namespace paring {

enum class LogLevel { kDebug, kInfo, kWarning, kError, kOff };

void set_log_level(LogLevel level) noexcept;
LogLevel log_level() noexcept;
// "debug", "info", "warning", "error", "off"; InvalidArgument with the choices otherwise.
Result<LogLevel> parse_log_level(std::string_view name);

// Whether a line of `level` would be written: ask before building an expensive text.
bool is_logged(LogLevel level) noexcept;
void log(LogLevel level, std::string_view text);
inline void log_debug(std::string_view text) { log(LogLevel::kDebug, text); }
inline void log_info(std::string_view text) { log(LogLevel::kInfo, text); }
inline void log_warning(std::string_view text) { log(LogLevel::kWarning, text); }
inline void log_error(std::string_view text) { log(LogLevel::kError, text); }

}  // namespace paring
