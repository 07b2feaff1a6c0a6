// SPDX-License-Identifier: Apache-2.0
// JSON written straight into a string, without a tree: streams are made of small pieces, many of
// them a second. Stateless.
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>

namespace paring::serve::wire {

// `text` as a JSON string with its quotes. Bytes that are not UTF-8 become U+FFFD, one for each
// longest piece that begins a character. Control characters and the line ends of Unicode (U+0085,
// U+2028, U+2029) are written as \u....: clients that read lines may take them for ends of lines.
void append_json_string(std::string& out, std::string_view text);
std::string json_string(std::string_view text);

void append_integer(std::string& out, std::int64_t value);
void append_integer(std::string& out, std::uint64_t value);
// As few digits as tell it from its neighbours. JSON has no infinities: they become the largest and
// smallest finite numbers, and what is no number 0.
void append_number(std::string& out, double value);
void append_number(std::string& out, float value);

// What bytes of a text mean when they are no whole characters; see append_json_string().
std::string valid_utf8(std::string_view text);

// append(out, "{\"n\":", 3, "}"): pieces one after the other, numbers as above. Texts go in as they
// are.
inline void append_piece(std::string& out, std::string_view text) { out += text; }
inline void append_piece(std::string& out, const std::string& text) { out += text; }
inline void append_piece(std::string& out, const char* text) { out += text; }
inline void append_piece(std::string& out, char c) { out += c; }
inline void append_piece(std::string& out, bool value) { out += value ? "true" : "false"; }
inline void append_piece(std::string& out, double value) { append_number(out, value); }
inline void append_piece(std::string& out, float value) { append_number(out, value); }
inline void append_piece(std::string& out, std::signed_integral auto value) {
  append_integer(out, static_cast<std::int64_t>(value));
}
inline void append_piece(std::string& out, std::unsigned_integral auto value) {
  append_integer(out, static_cast<std::uint64_t>(value));
}
template <typename... Pieces>
void append(std::string& out, const Pieces&... pieces) {
  (append_piece(out, pieces), ...);
}

}  // namespace paring::serve::wire
