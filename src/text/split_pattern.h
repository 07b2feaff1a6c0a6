// SPDX-License-Identifier: Apache-2.0
// Regular expressions of the kind that cut text into words before BPE, compiled into a table: one
// look-up a character, no backtracking. Where a match ends is what a backtracking matcher would
// find (the first alternative that fits, greedy repetitions). Immutable, shared by threads.
//
// Known are: characters, classes in brackets with && and nested brackets, \s \S \d \p{..} \P{..}
// (L, Lu, Ll, Lt, Lm, Lo, M, N, Nd, Nl, No, P, S), alternatives, groups ( ), (?: ), (?i: ),
// repetitions * + ? {n} {n,} {n,m}, and looking ahead at one character, (?! ) and (?= ).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace paring::text {

struct SplitPatternOptions {
  // Whether white space beyond ASCII lies in ranges of characters that go over it. llama.cpp's
  // matcher takes it out.
  bool ranges_hold_spaces = true;
};

class SplitPattern {
 public:
  static constexpr std::size_t kPatternBytesMax = 4096;
  static constexpr std::size_t kStatesMax = 4096;
  static constexpr std::size_t kInstructionsMax = 8192;
  static constexpr std::size_t kDepthMax = 32;  // of groups

  // Unsupported for what is not listed above, naming it, and beyond the limits.
  static Result<SplitPattern> compile(std::string_view regex, SplitPatternOptions options = {});

  // Where the match that begins at `at` ends; `at` when there is none (or an empty one). Nothing
  // beyond `text` is looked at: a look ahead meets the end there.
  // REQUIRES: text is well-formed UTF-8, `at` the beginning of a character.
  std::size_t match_end(std::string_view text, std::size_t at) const noexcept;

 private:
  friend class PatternCompiler;

  // Which symbol of the table's alphabet a character is.
  std::uint32_t symbol_of(char32_t code_point) const noexcept;

  static constexpr std::uint32_t kMatched = 1U << 31U;  // a match ends in front of the symbol
  static constexpr std::uint32_t kDead = 0;             // the state from which nothing follows

  std::array<std::uint8_t, 128> ascii_{};
  // Of code points from 128 on: the interval that one lies in, then its category there.
  std::vector<char32_t> interval_begins_;
  std::vector<std::uint8_t> symbols_;  // [interval][category]
  std::uint32_t symbol_count_ = 0;     // the last one is the end of the text
  std::vector<std::uint32_t> table_;   // [state][symbol]: kMatched | next state
};

}  // namespace paring::text
