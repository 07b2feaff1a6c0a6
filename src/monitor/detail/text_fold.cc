// SPDX-License-Identifier: Apache-2.0
#include "monitor/detail/text_fold.h"

#include <algorithm>
#include <iterator>

#include "text/unicode.h"

namespace paring::monitor::detail {

namespace {

struct Block {
  char32_t first;
  char32_t last;
};

// They take no place, or only say how others are shown.
constexpr Block kInvisible[] = {
    {0x00AD, 0x00AD}, {0x034F, 0x034F}, {0x061C, 0x061C},   {0x115F, 0x1160},  {0x17B4, 0x17B5},
    {0x180B, 0x180F}, {0x200B, 0x200F}, {0x202A, 0x202E},   {0x2060, 0x206F},  {0x3164, 0x3164},
    {0xFE00, 0xFE0F}, {0xFEFF, 0xFEFF}, {0xE0000, 0xE007F}, {0xE0100, 0xE01EF}};

// The zeros of decimal digits of other scripts; nine follow each.
constexpr char32_t kZeros[] = {0x0660,  0x06F0,  0x07C0,  0x0966, 0x09E6, 0x0A66,  0x0AE6,
                               0x0B66,  0x0BE6,  0x0C66,  0x0CE6, 0x0D66, 0x0E50,  0x0ED0,
                               0x0F20,  0x1040,  0x17E0,  0x1810, 0xFF10, 0x1D7CE, 0x1D7D8,
                               0x1D7E2, 0x1D7EC, 0x1D7F6, 0x1FBF0};

constexpr std::string_view kEscapeNames = "nrtbf\"\\/";
constexpr std::string_view kEscaped = "\n\r\t  \"\\/";

bool is_invisible(char32_t code) {
  return std::ranges::any_of(
      kInvisible, [&](const Block& block) { return code >= block.first && code <= block.last; });
}

// Nothing: it stays as it is. 0: it is left out.
std::optional<char> plain(char32_t code) {
  constexpr char32_t kFullWidthFirst = 0xFF01;
  constexpr char32_t kFullWidthLast = 0xFF5E;
  constexpr char32_t kFullWidthShift = 0xFEE0;
  constexpr char32_t kAsciiEnd = 0x80;
  if (code < kAsciiEnd) return std::nullopt;
  if (is_invisible(code)) return '\0';
  if (code >= kFullWidthFirst && code <= kFullWidthLast) {
    return static_cast<char>(code - kFullWidthShift);
  }
  for (const char32_t zero : kZeros) {
    if (code >= zero && code < zero + 10) return static_cast<char>('0' + (code - zero));
  }
  switch (code) {
    case 0x00A0:
    case 0x1680:
    case 0x202F:
    case 0x205F:
    case 0x3000:
      return ' ';
    case 0x2010:
    case 0x2011:
    case 0x2012:
    case 0x2013:
    case 0x2014:
    case 0x2015:
    case 0x2212:
    case 0xFE58:
    case 0xFE63:
      return '-';
    case 0x3002:
    case 0xFE52:
    case 0xFF61:
    case 0x2024:
      return '.';
    case 0xFE6B:
      return '@';
    case 0xFE55:
    case 0x2236:
      return ':';
    case 0xFE62:
      return '+';
    case 0x2044:
    case 0x2215:
      return '/';
    default:
      break;
  }
  if (code >= 0x2000 && code <= 0x200A) return ' ';
  return std::nullopt;
}

std::optional<char32_t> hex(std::string_view digits) {
  char32_t value = 0;
  for (const char c : digits) {
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
    if (digit < 0) return std::nullopt;
    value = value * 16 + static_cast<char32_t>(digit);
  }
  return value;
}

struct Unit {
  char32_t code = 0;
  std::size_t bytes = 0;  // 0: none
};

// \n, \", \u0040, \x40 and their like, of JSON and of programs.
Unit escape_at(std::string_view text, std::size_t at) {
  if (text[at] != '\\' || at + 1 >= text.size()) return {};
  constexpr std::size_t kLong = 6;   // \u0040
  constexpr std::size_t kShort = 4;  // \x40
  const char name = text[at + 1];
  const std::size_t place = kEscapeNames.find(name);
  if (place != std::string_view::npos) return {static_cast<unsigned char>(kEscaped[place]), 2};
  const std::size_t bytes = name == 'u' ? kLong : name == 'x' ? kShort : 0;
  if (bytes == 0 || at + bytes > text.size()) return {};
  const auto code = hex(text.substr(at + 2, bytes - 2));
  if (!code || *code == 0) return {};
  // A pair of surrogates is one character.
  constexpr char32_t kHigh = 0xD800;
  constexpr char32_t kLow = 0xDC00;
  constexpr char32_t kEnd = 0xE000;
  if (*code < kHigh || *code >= kEnd) return {*code, bytes};
  if (*code >= kLow || at + 2 * kLong > text.size() || text[at + kLong] != '\\' ||
      text[at + kLong + 1] != 'u') {
    return {};
  }
  const auto low = hex(text.substr(at + kLong + 2, kLong - 2));
  if (!low || *low < kLow || *low >= kEnd) return {};
  return {0x10000 + ((*code - kHigh) << 10) + (*low - kLow), 2 * kLong};
}

class Folder {
 public:
  explicit Folder(std::string_view text) : text_(text) {}

  std::optional<FoldedText> run() {
    bool is_plain = true;
    for (std::size_t at = 0; at < text_.size();) {
      const Unit escape = escape_at(text_, at);
      if (escape.bytes > 0) {
        is_plain = false;
        add(escape.code, at, at + escape.bytes);
        at += escape.bytes;
        continue;
      }
      const text::Utf8Step step = text::utf8_step(text_, at);
      const std::size_t end = at + step.size;
      const std::optional<char> other = step.kind == text::Utf8Step::Kind::kCharacter
                                            ? plain(step.code_point)
                                            : std::optional<char>();
      if (other) {
        is_plain = false;
        if (*other != '\0') put(*other, at, end);
      } else {
        for (std::size_t i = at; i < end; ++i) put(text_[i], at, end);
      }
      at = end;
    }
    if (is_plain) return std::nullopt;
    return std::move(folded_);
  }

 private:
  void put(char c, std::size_t begin, std::size_t end) {
    folded_.text += c;
    folded_.begins.push_back(static_cast<std::uint32_t>(begin));
    folded_.ends.push_back(static_cast<std::uint32_t>(end));
  }
  void add(char32_t code, std::size_t begin, std::size_t end) {
    if (const auto other = plain(code)) {
      if (*other != '\0') put(*other, begin, end);
      return;
    }
    std::string bytes;
    text::append_utf8(code, bytes);
    for (const char c : bytes) put(c, begin, end);
  }

  std::string_view text_;
  FoldedText folded_;
};

bool may_fold(std::string_view text) {
  return std::ranges::any_of(
      text, [](char c) { return c == '\\' || static_cast<unsigned char>(c) >= 0x80; });
}

}  // namespace

std::optional<FoldedText> fold(std::string_view text) {
  if (!may_fold(text)) return std::nullopt;
  return Folder(text).run();
}

std::optional<FoldedText> fold_again(const FoldedText& before) {
  auto folded = fold(before.text);
  if (!folded) return folded;
  for (std::uint32_t& begin : folded->begins) begin = before.begins[begin];
  for (std::uint32_t& end : folded->ends) end = before.ends[end - 1];
  return folded;
}

}  // namespace paring::monitor::detail
