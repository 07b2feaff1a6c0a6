// SPDX-License-Identifier: Apache-2.0
#include "measure/tasks/detail/python_text.h"

#include "text/unicode.h"

namespace paring::measure {

namespace {

bool is_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
         c == 0x205F || c == 0x3000;
}

// Upper and lower case lie 32 apart, or 80 in part of Cyrillic. U+00D7 and U+00F7 are signs.
char32_t to_lower(char32_t c) {
  if ((c >= 'A' && c <= 'Z') || (c >= 0xC0 && c <= 0xDE && c != 0xD7) ||
      (c >= 0x391 && c <= 0x3A9 && c != 0x3A2) || (c >= 0x410 && c <= 0x42F)) {
    return c + 32;
  }
  return c >= 0x400 && c <= 0x40F ? c + 80 : c;
}

char32_t to_upper(char32_t c) {
  if ((c >= 'a' && c <= 'z') || (c >= 0xE0 && c <= 0xFE && c != 0xF7) ||
      (c >= 0x3B1 && c <= 0x3C9 && c != 0x3C2) || (c >= 0x430 && c <= 0x44F)) {
    return c - 32;
  }
  return c >= 0x450 && c <= 0x45F ? c - 80 : c;
}

// All changed characters lie below U+0800.
void append(std::string& text, char32_t c) {
  if (c < 0x80) {
    text += static_cast<char>(c);
    return;
  }
  text += static_cast<char>(0xC0 | (c >> 6));
  text += static_cast<char>(0x80 | (c & 0x3F));
}

// `change(code point, index)` for every character that is well-formed; 0 keeps it.
template <typename Change>
std::string map_characters(std::string_view text, const Change& change) {
  std::string result;
  result.reserve(text.size());
  std::size_t index = 0;
  for (std::size_t at = 0; at < text.size(); ++index) {
    const text::Utf8Step step = text::utf8_step(text, at);
    const bool is_character = step.kind == text::Utf8Step::Kind::kCharacter;
    const char32_t changed = is_character ? change(step.code_point, index) : 0;
    if (is_character && changed != step.code_point) {
      append(result, changed);
    } else {
      result += text.substr(at, step.size);
    }
    at += step.size;
  }
  return result;
}

}  // namespace

std::string_view strip_end(std::string_view text) {
  std::size_t end = 0;  // after the last character that is no space
  for (std::size_t at = 0; at < text.size();) {
    const text::Utf8Step step = text::utf8_step(text, at);
    at += step.size;
    if (step.kind != text::Utf8Step::Kind::kCharacter || !is_space(step.code_point)) end = at;
  }
  return text.substr(0, end);
}

std::string_view strip(std::string_view text) {
  text = strip_end(text);
  while (!text.empty()) {
    const text::Utf8Step step = text::utf8_step(text, 0);
    if (step.kind != text::Utf8Step::Kind::kCharacter || !is_space(step.code_point)) break;
    text.remove_prefix(step.size);
  }
  return text;
}

std::string capitalize(std::string_view text) {
  return map_characters(
      text, [](char32_t c, std::size_t index) { return index == 0 ? to_upper(c) : to_lower(c); });
}

std::string lower_first(std::string_view text) {
  return map_characters(text,
                        [](char32_t c, std::size_t index) { return index == 0 ? to_lower(c) : c; });
}

std::size_t length(std::string_view text) {
  std::size_t count = 0;
  for (std::size_t at = 0; at < text.size(); ++count) at += text::utf8_step(text, at).size;
  return count;
}

std::string replace_all(std::string_view text, std::string_view from, std::string_view to) {
  std::string result;
  for (std::size_t at = 0;;) {
    const std::size_t found = text.find(from, at);
    result += text.substr(at, found - at);
    if (found == std::string_view::npos) return result;
    result += to;
    at = found + from.size();
  }
}

}  // namespace paring::measure
