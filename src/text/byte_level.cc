// SPDX-License-Identifier: Apache-2.0
// Printable Latin-1 stands for itself; the other 68 bytes are numbered from U+0100 on.
#include "text/byte_level.h"

#include <array>
#include <cstdint>

#include "text/unicode.h"

namespace paring::text {
namespace {

constexpr bool stands_for_itself(unsigned byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

// Index: code point. 256 printable positions and the 68 numbered ones; -1 where there is none.
constexpr std::array<std::int16_t, 256 + 68> make_bytes() {
  std::array<std::int16_t, 256 + 68> bytes{};
  bytes.fill(-1);
  std::size_t next = 256;
  for (unsigned byte = 0; byte < 256; ++byte) {
    bytes[stands_for_itself(byte) ? byte : next++] = static_cast<std::int16_t>(byte);
  }
  return bytes;
}

}  // namespace

std::optional<std::string> byte_level_decoded(std::string_view token) {
  static constexpr auto kBytes = make_bytes();
  std::string bytes;
  bytes.reserve(token.size());
  for (std::size_t at = 0; at < token.size();) {
    const Utf8Step step = utf8_step(token, at);
    if (step.kind != Utf8Step::Kind::kCharacter || step.code_point >= kBytes.size() ||
        kBytes[step.code_point] < 0) {
      return std::nullopt;
    }
    bytes.push_back(static_cast<char>(kBytes[step.code_point]));
    at += step.size;
  }
  return bytes;
}

std::string byte_level_encoded(std::string_view bytes) {
  static const auto kSpellings = [] {
    std::array<std::string, 256> spellings;
    unsigned next = 256;
    for (unsigned byte = 0; byte < 256; ++byte) {
      append_utf8(stands_for_itself(byte) ? byte : next++, spellings[byte]);
    }
    return spellings;
  }();
  std::string token;
  token.reserve(bytes.size() * 2);
  for (const char byte : bytes) token += kSpellings[static_cast<unsigned char>(byte)];
  return token;
}

}  // namespace paring::text
