// SPDX-License-Identifier: Apache-2.0
// Texts compared by their words, as reading-comprehension benchmarks do it: letters in one case,
// punctuation and English articles left out. Pure functions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace paring::advise {

// Words of `text` for comparison. Bytes above ASCII count as letters.
std::vector<std::string> words_of(std::string_view text);

// Whether the words of `part` stand in `text` side by side. False for a `part` without words.
bool holds(std::string_view text, std::string_view part);

// Harmonic mean of precision and recall over words; 0 when one of them has none.
double word_f1(std::string_view a, std::string_view b);

// Share of the words of `part`, in runs of three, that `text` has too; of single words when there
// are fewer than three. 0 for a `part` without words.
double word_overlap(std::string_view text, std::string_view part);

// An answer that says what the reference says: holds it, or has nearly the same words.
inline constexpr double kSameAnswerF1 = 0.6;
bool is_same_answer(std::string_view answer, std::string_view reference);

}  // namespace paring::advise
