// SPDX-License-Identifier: Apache-2.0
// Class lookup in a table expanded once from ranges, and the UTF-8 step of table 3-7 of the Unicode
// standard.
#include "text/unicode.h"

#include <cstring>

#include <vector>

namespace paring::text {
namespace {

constexpr char32_t kCodePoints = 0x110000;

struct CategoryRange {
  char32_t first;
  CharCategory category;
};

std::vector<CharCategory> expanded_table() {
  using enum CharCategory;
  static constexpr CategoryRange kRanges[] = {
#include "text/unicode_table.inc"
  };
  std::vector<CharCategory> table(kCodePoints, kOtherCharacter);
  const std::size_t count = std::size(kRanges);
  for (std::size_t i = 0; i < count; ++i) {
    const char32_t last = i + 1 < count ? kRanges[i + 1].first : kCodePoints;
    for (char32_t c = kRanges[i].first; c < last; ++c) table[c] = kRanges[i].category;
  }
  return table;
}

// How many bytes a lead byte announces and what its second byte may be; 0 for no lead byte.
struct Lead {
  std::uint8_t size;
  std::uint8_t second_min;
  std::uint8_t second_max;
};

constexpr Lead lead_of(std::uint8_t byte) noexcept {
  if (byte < 0x80) return {1, 0, 0};
  if (byte < 0xC2) return {0, 0, 0};
  if (byte < 0xE0) return {2, 0x80, 0xBF};
  if (byte == 0xE0) return {3, 0xA0, 0xBF};
  if (byte == 0xED) return {3, 0x80, 0x9F};
  if (byte < 0xF0) return {3, 0x80, 0xBF};
  if (byte == 0xF0) return {4, 0x90, 0xBF};
  if (byte < 0xF4) return {4, 0x80, 0xBF};
  if (byte == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

}  // namespace

CharCategory char_category(char32_t code_point) noexcept {
  static const std::vector<CharCategory> table = expanded_table();
  return code_point < kCodePoints ? table[code_point] : CharCategory::kOtherCharacter;
}

CharClass char_class(char32_t code_point) noexcept {
  switch (char_category(code_point)) {
    case CharCategory::kUpper:
    case CharCategory::kLower:
    case CharCategory::kTitle:
    case CharCategory::kModifier:
    case CharCategory::kOtherLetter:
      return CharClass::kLetter;
    case CharCategory::kDigit:
    case CharCategory::kLetterNumber:
    case CharCategory::kOtherNumber:
      return CharClass::kNumber;
    case CharCategory::kWhiteSpace:
      return CharClass::kSpace;
    case CharCategory::kPunctuationMark:
      return CharClass::kPunctuation;
    default:
      return CharClass::kOther;
  }
}

Utf8Step utf8_step(std::string_view bytes, std::size_t position) noexcept {
  using enum Utf8Step::Kind;
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(bytes[position + i]); };
  const std::size_t available = bytes.size() - position;
  const Lead lead = lead_of(byte(0));
  if (lead.size == 0) return {kIllFormed, 1, 0xFFFD};
  if (lead.size == 1) return {kCharacter, 1, byte(0)};
  char32_t code_point = byte(0) & (0x7FU >> lead.size);
  for (std::uint8_t i = 1; i < lead.size; ++i) {
    if (i == available) return {kIncomplete, i, 0xFFFD};
    const std::uint8_t least = i == 1 ? lead.second_min : std::uint8_t{0x80};
    const std::uint8_t most = i == 1 ? lead.second_max : std::uint8_t{0xBF};
    if (byte(i) < least || byte(i) > most) return {kIllFormed, i, 0xFFFD};
    code_point = (code_point << 6) | (byte(i) & 0x3FU);
  }
  return {kCharacter, lead.size, code_point};
}

bool is_well_formed_utf8(std::string_view bytes) noexcept {
  constexpr std::uint64_t kUpperBits = 0x8080808080808080U;
  for (std::size_t at = 0; at < bytes.size();) {
    std::uint64_t chunk = kUpperBits;
    if (bytes.size() - at >= sizeof chunk) std::memcpy(&chunk, bytes.data() + at, sizeof chunk);
    if ((chunk & kUpperBits) == 0) {  // eight ASCII characters
      at += sizeof chunk;
      continue;
    }
    const Utf8Step step = utf8_step(bytes, at);
    if (step.kind != Utf8Step::Kind::kCharacter) return false;
    at += step.size;
  }
  return true;
}

void append_utf8(char32_t code_point, std::string& out) {
  const auto put = [&](char32_t bits) { out.push_back(static_cast<char>(bits)); };
  const auto put_next = [&](int shift) { put(0x80 | ((code_point >> shift) & 0x3F)); };
  if (code_point < 0x80) return put(code_point);
  if (code_point < 0x800) {
    put(0xC0 | (code_point >> 6));
    return put_next(0);
  }
  if (code_point < 0x10000) {
    put(0xE0 | (code_point >> 12));
    put_next(6);
    return put_next(0);
  }
  put(0xF0 | (code_point >> 18));
  put_next(12);
  put_next(6);
  put_next(0);
}

std::string repaired_utf8(std::string_view bytes) {
  std::string repaired;
  repaired.reserve(bytes.size());
  for (std::size_t at = 0; at < bytes.size();) {
    const Utf8Step step = utf8_step(bytes, at);
    if (step.kind == Utf8Step::Kind::kCharacter) {
      repaired.append(bytes.substr(at, step.size));
    } else {
      for (std::uint8_t i = 0; i < step.size; ++i) repaired.append(kReplacement);
    }
    at += step.size;
  }
  return repaired;
}

}  // namespace paring::text
