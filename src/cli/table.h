// SPDX-License-Identifier: Apache-2.0
// Tables of text for the terminal: columns as wide as their widest cell, numbers to the right.
//
//   Table table({{"type"}, {"bytes", Align::kRight}});
//   table.add({"Q4_0", "41.2 MB"});
//   output.write(table.render());
//
// Widths count characters, not bytes; control characters in cells are escaped.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace paring::cli {

enum class Align : std::uint8_t { kLeft, kRight };

struct Column {
  std::string title;
  Align align = Align::kLeft;
};

class Table {
 public:
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}
  // REQUIRES: as many cells as columns.
  void add(std::vector<std::string> cells);
  // Title line, a rule, one line a row; each ends with a newline and without trailing blanks. No
  // title line and rule when every title is empty.
  std::string render() const;
  // As a Markdown table.
  std::string render_markdown() const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

// "1234567.8" as "1,234,567.8": digits of the whole part in groups of three.
std::string group_digits(std::uint64_t value);

// Aligned "name  value" lines, without titles.
class Facts {
 public:
  void add(std::string name, std::string value);
  // A blank line.
  void gap() { lines_.emplace_back(); }
  std::string render() const;
  const std::vector<std::pair<std::string, std::string>>& lines() const& { return lines_; }

 private:
  std::vector<std::pair<std::string, std::string>> lines_;
};

}  // namespace paring::cli
