// SPDX-License-Identifier: Apache-2.0
// The little of Unicode that tokenizing needs: classes of code points as of Unicode 15.1 (the
// version of llama.cpp's tables) and one step of a UTF-8 decoder. Stateless, any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace paring::text {

// kNone is what lies beyond the end of a text; unassigned code points are kOther.
enum class CharClass : std::uint8_t { kNone, kLetter, kNumber, kSpace, kPunctuation, kOther };

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
