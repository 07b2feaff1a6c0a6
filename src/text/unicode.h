// SPDX-License-Identifier: Apache-2.0
// The little of Unicode that tokenizing needs: categories of code points as of Unicode 15.1 (the
// version of llama.cpp's tables) and one step of a UTF-8 decoder. Stateless, any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace paring::text {

// The general category, but for kWhiteSpace, which is the property of that name. kOtherCharacter:
// control, format, private use, surrogates.
enum class CharCategory : std::uint8_t {
  kUpper,
  kLower,
  kTitle,
  kModifier,
  kOtherLetter,
  kMark,
  kDigit,
  kLetterNumber,
  kOtherNumber,
  kPunctuationMark,
  kSymbol,
  kWhiteSpace,
  kUnassigned,
  kOtherCharacter,
};
inline constexpr std::uint32_t kCharCategories = 14;

CharCategory char_category(char32_t code_point) noexcept;

// Coarser: kOther also has marks, symbols and unassigned code points.
enum class CharClass : std::uint8_t { kLetter, kNumber, kSpace, kPunctuation, kOther };

CharClass char_class(char32_t code_point) noexcept;

inline constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

// What stands at one position of a byte string.
struct Utf8Step {
  enum class Kind : std::uint8_t {
    kCharacter,   // `size` bytes are one well-formed character
    kIllFormed,   // `size` bytes can never be part of one (Unicode's "maximal subpart")
    kIncomplete,  // the `size` bytes up to the end are the beginning of one
  };
  Kind kind = Kind::kIllFormed;
  std::uint8_t size = 1;
  char32_t code_point = 0xFFFD;  // of kCharacter
};

// REQUIRES: position < bytes.size(). Surrogates, overlong forms and values beyond U+10FFFF are
// ill-formed.
Utf8Step utf8_step(std::string_view bytes, std::size_t position) noexcept;

bool is_well_formed_utf8(std::string_view bytes) noexcept;

// Appends a code point up to U+10FFFF that is not a surrogate.
void append_utf8(char32_t code_point, std::string& out);

// `bytes` with U+FFFD for every single byte that is not part of a well-formed character.
std::string repaired_utf8(std::string_view bytes);

}  // namespace paring::text
