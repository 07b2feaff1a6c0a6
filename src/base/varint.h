// SPDX-License-Identifier: Apache-2.0
// Numbers in as few bytes as they need, seven bits a byte, the least first (the varints of Protocol
// Buffers), and signed ones folded so that small ones of either sign are short. Thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace paring {

inline void append_varint(std::vector<std::uint8_t>& out, std::uint64_t value) {
  while (value >= 0x80) {
    out.push_back(static_cast<std::uint8_t>(value | 0x80));
    value >>= 7;
  }
  out.push_back(static_cast<std::uint8_t>(value));
}

// Takes one number from the front of `in`; nothing when it is cut or longer than 64 bits.
inline std::optional<std::uint64_t> take_varint(std::span<const std::uint8_t>& in) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < in.size() && i < 10; ++i) {
    const std::uint64_t bits = in[i] & 0x7f;
    if (i == 9 && bits > 1) return std::nullopt;
    value |= bits << (7 * i);
    if ((in[i] & 0x80) != 0) continue;
    in = in.subspan(i + 1);
    return value;
  }
  return std::nullopt;
}

// 0, -1, 1, -2, ... become 0, 1, 2, 3, ...
constexpr std::uint64_t zigzag(std::int64_t value) noexcept {
  return (static_cast<std::uint64_t>(value) << 1) ^ static_cast<std::uint64_t>(value >> 63);
}
constexpr std::int64_t unzigzag(std::uint64_t value) noexcept {
  return static_cast<std::int64_t>((value >> 1) ^ (~(value & 1) + 1));
}

}  // namespace paring
