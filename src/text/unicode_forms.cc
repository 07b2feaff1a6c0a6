// SPDX-License-Identifier: Apache-2.0
#include "text/unicode_forms.h"

#include <algorithm>
#include <span>

#include "text/unicode.h"

namespace paring::text {
namespace {

// {from, to} in the maps, {first, last} in the sets, {first, value} where each value holds up to
// the next row; ascending.
struct CodePointPair {
  char32_t first;
  char32_t second;
};

#include "text/unicode_forms.inc"

// The last row that begins at or before `c`, nullptr when there is none.
const CodePointPair* row_at(std::span<const CodePointPair> rows, char32_t c) {
  const auto behind =
      std::upper_bound(rows.begin(), rows.end(), c,
                       [](char32_t value, const CodePointPair& row) { return value < row.first; });
  return behind == rows.begin() ? nullptr : &*(behind - 1);
}

char32_t mapped(std::span<const CodePointPair> rows, char32_t c) {
  const CodePointPair* row = row_at(rows, c);
  return row != nullptr && row->first == c ? row->second : c;
}

bool contains(std::span<const CodePointPair> rows, char32_t c) {
  const CodePointPair* row = row_at(rows, c);
  return row != nullptr && c <= row->second;
}

}  // namespace

char32_t lower_case(char32_t code_point) noexcept {
  if (code_point < 0x80) {
    return code_point >= 'A' && code_point <= 'Z' ? code_point + 0x20 : code_point;
  }
  return mapped(kLowerCase, code_point);
}

char32_t decomposed_base(char32_t code_point) noexcept {
  if (code_point < 0x80) return code_point;
  // Hangul syllables by the rule of the Unicode standard, section 3.12: 588 to a leading consonant.
  if (code_point >= 0xAC00 && code_point <= 0xD7A3) return 0x1100 + (code_point - 0xAC00) / 588;
  return mapped(kDecomposedBase, code_point);
}

bool is_surely_nfc(std::string_view text) noexcept {
  char32_t last_class = 0;
  for (std::size_t at = 0; at < text.size();) {
    if (static_cast<unsigned char>(text[at]) < 0xCC) {  // below U+0300 nothing changes or combines
      at += static_cast<unsigned char>(text[at]) < 0x80 ? 1 : 2;
      last_class = 0;
      continue;
    }
    const Utf8Step step = utf8_step(text, at);
    if (contains(kNfcUnsure, step.code_point)) return false;
    const CodePointPair* row = row_at(kCombiningClasses, step.code_point);
    const char32_t combining = row == nullptr ? 0 : row->second;
    if (combining != 0 && combining < last_class) return false;
    last_class = combining;
    at += step.size;
  }
  return true;
}

bool is_mark(char32_t code_point) noexcept {
  return code_point >= 0x300 && contains(kMarks, code_point);
}

bool is_control(char32_t code_point) noexcept { return contains(kControls, code_point); }

}  // namespace paring::text
