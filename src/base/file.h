// SPDX-License-Identifier: Apache-2.0
// Whole small files as text: settings, sysfs and procfs entries. Models and anything large go
// through the io module. Thread-safe.
#pragma once

#include <cstddef>
#include <string>

#include "base/result.h"

namespace paring {

// Size limit for files of the system (procfs, sysfs, cgroup).
inline constexpr std::size_t kSystemFileBytesMax = std::size_t{1} << 20;

// The bytes of `path`. NotFound when it does not exist, Exhausted when it holds more than
// `bytes_max` bytes, Io otherwise.
Result<std::string> read_small_file(const std::string& path,
                                    std::size_t bytes_max = kSystemFileBytesMax);

// The message of an errno value; unlike strerror, safe in threads.
std::string errno_text(int error_number);

}  // namespace paring
