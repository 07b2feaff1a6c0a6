// SPDX-License-Identifier: Apache-2.0
#include "base/text.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <iterator>
#include <vector>

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
  const bool has_unit = text.find_first_of("bB") != std::string_view::npos;
  if (!has_unit && bytes != std::floor(bytes) && !std::isnan(bytes)) {
    return invalid_argument(fmt::format("'{}' has no unit", escape_control(text)),
                            fmt::format("did you mean {0}MB or {0}GB? Units are kB, MB, GB, TB and "
                                        "KiB, MiB, GiB, TiB; 105.4MB is a size",
                                        escape_control(trim(text))));
  }
  if (!(bytes <= 0x1p63)) {
    return invalid_argument(fmt::format("'{}' is not a size", escape_control(text)),
                            "write a number and a unit, such as 105.4MB, 90MiB or 2GB");
  }
  return static_cast<std::uint64_t>(std::round(bytes));
}

std::string counted(std::uint64_t count, std::string_view noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

Result<double> parse_count(std::string_view text) {
  constexpr Unit kUnits[] = {{"", 1}, {"k", 1e3}, {"m", 1e6}, {"b", 1e9}, {"t", 1e12}};
  const std::string_view trimmed = trim(text);
  double value = 0;
  const char* const end = trimmed.data() + trimmed.size();
  const auto [stop, error] = std::from_chars(trimmed.data(), end, value);
  const std::string unit = lower(trim({stop, static_cast<std::size_t>(end - stop)}));
  for (const Unit& known : kUnits) {
    if (error == std::errc() && value >= 0 && value <= 1e30 && unit == known.name) {
      return value * known.factor;
    }
  }
  return invalid_argument(fmt::format("'{}' is not a number", escape_control(text)),
                          "write 175e9, 7B, 1.5B or 350M");
}

namespace {

// Letters to insert, remove, change or swap with their neighbour (optimal string alignment).
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before;
  std::vector<std::size_t> last(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::vector<std::size_t> row(b.size() + 1, i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t change = a[i - 1] == b[j - 1] ? 0 : 1;
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + change});
      const bool is_swap = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (is_swap) row[j] = std::min(row[j], before[j - 2] + 1);
    }
    before = std::move(last);
    last = std::move(row);
  }
  return last.back();
}

}  // namespace

std::string nearest_name(std::string_view word, std::span<const std::string> names) {
  constexpr std::size_t kWordMax = 64;  // no name is longer
  if (word.empty() || word.size() > kWordMax) return {};
  const std::string wanted = lower(word);
  std::string nearest;
  std::size_t least = std::max<std::size_t>(1, word.size() / 3) + 1;
  for (const std::string& name : names) {
    const std::string known = lower(name);
    // What was typed short or long of a name is near, too: "quant", "Q4_K_M".
    const bool is_part =
        word.size() >= 4 && (known.starts_with(wanted) || wanted.starts_with(known));
    const std::size_t distance = is_part ? 1 : edit_distance(wanted, known);
    if (distance >= least) continue;
    least = distance;
    nearest = name;
  }
  return nearest;
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
