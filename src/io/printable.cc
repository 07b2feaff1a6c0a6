// SPDX-License-Identifier: Apache-2.0
#include "io/printable.h"

#include <fmt/format.h>

#include <cstddef>

namespace paring::io {

namespace {

// Length of the UTF-8 sequence that begins `text`; 0 when it is none. Overlong forms and surrogates
// are let through: they are harmless in a message.
std::size_t sequence_bytes(std::string_view text) {
  const auto first = static_cast<unsigned char>(text.front());
  if (first < 0x80) return 1;
  const std::size_t length = first >= 0xf5   ? 0U
                             : first >= 0xf0 ? 4U
                             : first >= 0xe0 ? 3U
                             : first >= 0xc2 ? 2U
                                             : 0U;
  if (length == 0 || length > text.size()) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((static_cast<unsigned char>(text[i]) & 0xc0U) != 0x80U) return 0;
  }
  return length;
}

}  // namespace

std::string printable(std::string_view text) {
  constexpr std::size_t kBytesMax = 80;
  std::string out;
  while (!text.empty()) {
    if (out.size() >= kBytesMax) return out + "...";
    const auto byte = static_cast<unsigned char>(text.front());
    const std::size_t length = sequence_bytes(text);
    // C1 controls (0xc2 0x80..0x9f) move the cursor of some terminals.
    const bool is_control =
        byte < 0x20 || byte == 0x7f ||
        (byte == 0xc2 && length == 2 && static_cast<unsigned char>(text[1]) < 0xa0U);
    if (length == 0 || is_control) {
      out += fmt::format("\\x{:02x}", byte);
      text.remove_prefix(1);
      continue;
    }
    out += text.substr(0, length);
    text.remove_prefix(length);
  }
  return out;
}

}  // namespace paring::io
