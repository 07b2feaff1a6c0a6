// SPDX-License-Identifier: Apache-2.0
#include "serve/wire/detail/json_text.h"

#include <charconv>
#include <cmath>
#include <limits>

namespace paring::serve::wire {
namespace {

// Bytes of the character at the begin of `text`, or 0 with `skipped` bytes that begin none.
// Table 3-7 of the Unicode standard.
std::size_t character_bytes(std::string_view text, std::size_t& skipped) {
  const auto byte = [&](std::size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U;
  };
  const unsigned first = byte(0);
  skipped = 1;
  if (first < 0x80) return 1;
  if (first < 0xc2 || first > 0xf4) return 0;
  const std::size_t size = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  unsigned low = 0x80;
  unsigned high = 0xbf;
  if (first == 0xe0) low = 0xa0;
  if (first == 0xed) high = 0x9f;
  if (first == 0xf0) low = 0x90;
  if (first == 0xf4) high = 0x8f;
  for (std::size_t i = 1; i < size; ++i) {
    if (byte(i) < low || byte(i) > high) return 0;
    skipped = i + 1;
    low = 0x80;
    high = 0xbf;
  }
  return size;
}

// Calls `plain(piece)` and `special(piece)`; what is special can never be written as it is.
template <typename Plain, typename Special>
void split(std::string_view text, const Plain& plain, const Special& special) {
  std::size_t begin = 0;
  std::size_t at = 0;
  while (at < text.size()) {
    const auto c = static_cast<unsigned char>(text[at]);
    if (c >= 0x20 && c < 0x80 && c != '"' && c != '\\') {
      ++at;
      continue;
    }
    std::size_t bytes = 1;
    bool is_valid = true;
    if (c >= 0x80) {
      std::size_t skipped = 0;
      bytes = character_bytes(text.substr(at), skipped);
      is_valid = bytes > 0;
      if (!is_valid) bytes = skipped;
      const bool ends_line = text.substr(at, bytes) == "\xc2\x85" ||
                             text.substr(at, bytes) == "\xe2\x80\xa8" ||
                             text.substr(at, bytes) == "\xe2\x80\xa9";
      if (is_valid && !ends_line) {
        at += bytes;
        continue;
      }
    }
    plain(text.substr(begin, at - begin));
    special(text.substr(at, bytes), is_valid);
    at += bytes;
    begin = at;
  }
  plain(text.substr(begin));
}

void append_escaped(std::string& out, std::string_view character) {
  switch (character[0]) {
    case '"':
      out += "\\\"";
      return;
    case '\\':
      out += "\\\\";
      return;
    case '\n':
      out += "\\n";
      return;
    case '\t':
      out += "\\t";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\xc2':
      out += "\\u0085";
      return;
    case '\xe2':
      out += character[2] == '\xa8' ? "\\u2028" : "\\u2029";
      return;
    default:
      break;
  }
  constexpr const char* kDigits = "0123456789abcdef";
  const auto code = static_cast<unsigned char>(character[0]);
  out += "\\u00";
  out += kDigits[code >> 4U];
  out += kDigits[code & 15U];
}

template <typename T>
void append_digits(std::string& out, T value) {
  char digits[32];
  const auto end = std::to_chars(digits, digits + sizeof(digits), value);
  out.append(digits, end.ptr);
}

template <typename T>
T finite(T value) {
  if (std::isnan(value)) return 0;
  if (std::isinf(value)) {
    return value > 0 ? std::numeric_limits<T>::max() : std::numeric_limits<T>::lowest();
  }
  return value;
}

}  // namespace

void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  split(
      text, [&](std::string_view plain) { out += plain; },
      [&](std::string_view special, bool is_valid) {
        if (!is_valid) {
          out += "\\ufffd";
        } else {
          append_escaped(out, special);
        }
      });
  out += '"';
}

std::string json_string(std::string_view text) {
  std::string out;
  out.reserve(text.size() + 2);
  append_json_string(out, text);
  return out;
}

std::string valid_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  split(
      text, [&](std::string_view plain) { out += plain; },
      [&](std::string_view special, bool is_valid) {
        if (is_valid) {
          out += special;
        } else {
          out += "\xef\xbf\xbd";
        }
      });
  return out;
}

void append_integer(std::string& out, std::int64_t value) { append_digits(out, value); }
void append_integer(std::string& out, std::uint64_t value) { append_digits(out, value); }
void append_number(std::string& out, double value) { append_digits(out, finite(value)); }
void append_number(std::string& out, float value) { append_digits(out, finite(value)); }

}  // namespace paring::serve::wire
