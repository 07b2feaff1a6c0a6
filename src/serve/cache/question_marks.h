// SPDX-License-Identifier: Apache-2.0
// What a question is about, as far as it can be read off its letters: numbers, negations, quoted
// and code-like parts, and the words that carry meaning. Vectors of encoders hardly see a changed
// number, name or "not", so two questions are taken for one only if all of these agree. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace paring::serve {

struct QuestionMarks {
  std::vector<std::string> numbers;   // "12.5", "three"; in order
  std::vector<std::string> literals;  // quoted texts, code, words such as "x_1"; in order
  std::vector<std::string> words;     // stems of words with meaning, in order
  std::size_t negations = 0;
  std::size_t bytes = 0;  // of the question

  std::size_t memory_bytes() const noexcept;
};

// Words of scripts without spaces are not told apart: a run of them is one word, which makes such
// questions differ more readily, never less.
QuestionMarks marks_of(std::string_view question);

enum class MarkDifference : std::uint8_t {
  kNone,
  kNumbers,
  kNegations,
  kLiterals,
  kWords,
  kOrder,
  kLength,
};
// The first that is found. kNone: nothing that can be read off the letters tells them apart.
MarkDifference difference(const QuestionMarks& a, const QuestionMarks& b);

}  // namespace paring::serve
