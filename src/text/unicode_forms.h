// SPDX-License-Identifier: Apache-2.0
// What normalization asks of a character, by Unicode 15.1. Stateless, any thread.
#pragma once

#include <string_view>

namespace paring::text {

// The simple lower-case mapping; the character itself when there is none.
char32_t lower_case(char32_t code_point) noexcept;
// The first character of the canonical decomposition (NFD).
char32_t decomposed_base(char32_t code_point) noexcept;
// Whether NFC certainly leaves a text as it is (Unicode standard annex 15, quick check: false for
// what it calls "maybe"). REQUIRES: well-formed UTF-8.
bool is_surely_nfc(std::string_view text) noexcept;
// General category M.
bool is_mark(char32_t code_point) noexcept;
// General categories Cc, Cf, Co and Cs.
bool is_control(char32_t code_point) noexcept;

}  // namespace paring::text
