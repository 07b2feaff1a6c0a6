// SPDX-License-Identifier: Apache-2.0
// Sizes and durations as people write and read them, text made safe to print, letters in one case.
// Sizes are decimal (1 MB = 10^6 bytes) unless the unit says binary (1 MiB = 2^20). Thread-safe.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace paring {

// "0 B", "999 B", "105.4 MB", "1.5 GB": four digits at most, the largest unit below the value.
std::string format_bytes(std::uint64_t bytes);
// "105.4MB", "90 MiB", "2GB", "4096" (bytes). Upper or lower case; fractions are rounded to whole
// bytes. InvalidArgument for anything else, a fraction without a unit, a negative size, or more
// than 2^63 bytes.
Result<std::uint64_t> parse_bytes(std::string_view text);

// "1 thread", "2 threads".
std::string counted(std::uint64_t count, std::string_view noun);

// "7B", "1.5b", "175e9", "350M", "32000": how many, with the letters K, M, B and T for powers of a
// thousand. InvalidArgument for anything else or a negative number.
Result<double> parse_count(std::string_view text);
// That one of `names` which `word` was probably meant to be; empty when none is near.
std::string nearest_name(std::string_view word, std::span<const std::string> names);

// "350 ms", "12.3 s", "4 min 5 s", "2 h 3 min".
std::string format_duration(double seconds);
// Seconds from "250ms", "90s", "15 min", "1.5h", "2d"; a plain number is seconds. InvalidArgument
// for anything else or a negative duration.
Result<double> parse_duration(std::string_view text);

// `text` with control characters written as \n, \t, \x1b, so that what comes from a file or a
// request can neither move a terminal's cursor nor forge a line of a log.
std::string escape_control(std::string_view text);

// ASCII letters in one case; every other byte as it is.
std::string ascii_lower(std::string_view text);
std::string ascii_upper(std::string_view text);

}  // namespace paring
