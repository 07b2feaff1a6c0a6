// SPDX-License-Identifier: Apache-2.0
// A row of traffic as others read it: the one list of columns, and a row in JSON, in CSV and for
// PostgreSQL's COPY. Pure functions.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "store/traffic_rows.h"

namespace paring::monitor {

enum class ColumnKind : std::uint8_t {
  kText,
  kInteger,
  kReal,
  kBoolean,
  kTime,     // text, ISO 8601 in UTC
  kNumbers,  // list of integers
  kJson,     // text that is JSON
};

// Nothing: not known.
using ColumnValue = std::variant<std::monostate, std::string, std::int64_t, double, bool,
                                 std::vector<std::int64_t>>;

struct TrafficColumn {
  const char* name;
  ColumnKind kind;
  ColumnValue (*get)(const store::TrafficRequest& row);
  bool is_content = false;
};

// In the order in which they are written; those of content stand last.
std::span<const TrafficColumn> traffic_columns(bool with_content) noexcept;

// An object and a newline.
std::string json_line(const store::TrafficRequest& row, bool with_content);

// RFC 4180: lines end with CR LF; fields with commas, quotes or ends of lines are in quotes. A text
// that a spreadsheet would take for a formula (=, +, -, @, a tab or CR first) has ' in front.
std::string csv_head(bool with_content);
std::string csv_line(const store::TrafficRequest& row, bool with_content);

// For COPY ... (FORMAT csv): every text in quotes, what is not known is empty without them. Without
// the NUL bytes and broken characters that PostgreSQL does not take.
std::string copy_line(const store::TrafficRequest& row);

// "2026-11-23T10:20:30.123456Z"; "" for a time outside of the years 1970 to 9999.
std::string iso_time(double seconds);

}  // namespace paring::monitor
