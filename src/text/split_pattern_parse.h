// SPDX-License-Identifier: Apache-2.0
// The syntax of SplitPattern. For split_pattern.cc only.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "text/split_pattern.h"
#include "text/unicode.h"

namespace paring::text::detail {

// A set of characters: what is in one of its categories or ranges or nested sets, minus what is not
// in all that it is intersected with, all of it perhaps negated.
struct CharSet {
  bool is_negated = false;
  std::uint32_t categories = 0;                       // bit: CharCategory
  std::vector<std::pair<char32_t, char32_t>> ranges;  // first, last
  std::vector<CharSet> parts;
  std::vector<CharSet> filters;  // &&

  void add_category(CharCategory category) { categories |= 1U << static_cast<unsigned>(category); }
  bool holds(char32_t c, CharCategory category, SplitPatternOptions options) const;
  // Code points from 128 on at which membership may change within a category.
  void add_bounds(std::vector<char32_t>& bounds) const;
};

struct Node {
  enum class Kind : std::uint8_t { kSet, kAhead, kSequence, kChoice, kRepeat };
  static constexpr std::uint32_t kUnbounded = UINT32_MAX;

  Kind kind = Kind::kSequence;
  bool is_negative = false;    // kAhead
  std::uint32_t set = 0;       // kSet, kAhead: index in the list of sets
  std::uint32_t least = 0;     // kRepeat
  std::uint32_t most = 0;      // kRepeat
  std::vector<Node> children;  // kRepeat: one; kChoice: at least one
};

// Appends to `sets`. Unsupported as SplitPattern::compile.
Result<Node> parse_split_pattern(std::string_view regex, std::vector<CharSet>& sets);

}  // namespace paring::text::detail
