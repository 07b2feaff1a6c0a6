// SPDX-License-Identifier: Apache-2.0
#include "base/text.h"

#include <fmt/core.h>

#include <array>
#include <charconv>
#include <cmath>
#include <iterator>

namespace paring {
namespace {

struct Unit {
  const char* name;  // lower case
  double factor;
};

constexpr Unit kByteUnits[] = {
    {"", 1},     {"b", 1},     {"byte", 1},     {"bytes", 1},    {"kb", 1e3},     {"mb", 1e6},
    {"gb", 1e9}, {"tb", 1e12}, {"kib", 0x1p10}, {"mib", 0x1p20}, {"gib", 0x1p30}, {"tib", 0x1p40},
};
constexpr Unit kTimeUnits[] = {
    {"", 1},   {"s", 1},    {"sec", 1},  {"ms", 1e-3}, {"us", 1e-6},
    {"m", 60}, {"min", 60}, {"h", 3600}, {"d", 86400},
};

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return result;
}

// value * unit, or nullopt-like NaN when `text` is not a plain decimal number and a known unit.
template <std::size_t N>
double parse_quantity(std::string_view text, const Unit (&units)[N]) {
  text = trim(text);
  double value = 0;
  const auto [stop, error] =
      std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
  // from_chars takes "inf" and "nan" as numbers; the comparison refuses both.
  if (error != std::errc() || !(value >= 0 && value <= 1e30)) return NAN;
  const auto used = static_cast<std::size_t>(stop - text.data());
  const std::string name = lower(trim(text.substr(used)));
  for (const Unit& unit : units) {
    if (name == unit.name) return value * unit.factor;
  }
  return NAN;
}

}  // namespace

std::string format_bytes(std::uint64_t bytes) {
  if (bytes < 1000) return fmt::format("{} B", bytes);
  static constexpr const char* kNames[] = {"kB", "MB", "GB", "TB", "PB", "EB"};
  double value = static_cast<double>(bytes) / 1000.0;
  std::size_t unit = 0;
  // 999.95 would be printed as 1000.0.
  while (value >= 999.95 && unit + 1 < std::size(kNames)) {
    value /= 1000.0;
    ++unit;
  }
  return fmt::format("{:.1f} {}", value, kNames[unit]);
}

Result<std::uint64_t> parse_bytes(std::string_view text) {
  const double bytes = parse_quantity(text, kByteUnits);
  if (!(bytes <= 0x1p63)) {
    return invalid_argument(fmt::format("'{}' is not a size", escape_control(text)),
                            "write a number and a unit, such as 105.4MB, 90MiB or 2GB");
  }
  return static_cast<std::uint64_t>(std::round(bytes));
}

std::string format_duration(double seconds) {
  if (seconds < 0.9995) return fmt::format("{:.0f} ms", seconds * 1000.0);
  if (seconds < 59.95) return fmt::format("{:.1f} s", seconds);
  const auto whole = static_cast<std::uint64_t>(std::llround(seconds));
  if (whole < 3600) return fmt::format("{} min {} s", whole / 60, whole % 60);
  return fmt::format("{} h {} min", whole / 3600, whole % 3600 / 60);
}

Result<double> parse_duration(std::string_view text) {
  const double seconds = parse_quantity(text, kTimeUnits);
  if (std::isnan(seconds)) {
    return invalid_argument(fmt::format("'{}' is not a duration", escape_control(text)),
                            "write a number and a unit, such as 250ms, 90s, 15min or 1.5h");
  }
  return seconds;
}

std::string escape_control(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\n') {
      result += "\\n";
    } else if (c == '\t') {
      result += "\\t";
    } else if (byte < 0x20 || byte == 0x7f) {
      result += fmt::format("\\x{:02x}", byte);
    } else {
      result += c;
    }
  }
  return result;
}

std::string ascii_lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return result;
}

std::string ascii_upper(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return result;
}

}  // namespace paring
