// SPDX-License-Identifier: Apache-2.0
// Layouts of the 32-value blocks, as they lie in files (little endian). A row of a block type is an
// array of these. Plain data: ISA folders may include this header, it holds no inline function.
// Source: GGUF specification; ggml block structures.
#pragma once

#include <cstddef>
#include <cstdint>

namespace paring::quant {

inline constexpr std::size_t kBlockValues = 32;

// x[i] = scale * codes[i], codes -127..127 (-128 is decoded, never written).
struct BlockQ8_0 {
  std::uint16_t scale;  // f16
  std::int8_t codes[kBlockValues];
};

// Nibbles: byte j holds value j in its low half and value j + 16 in its high half.
// x[i] = scale * (nibble - 8)
struct BlockQ4_0 {
  std::uint16_t scale;  // f16
  std::uint8_t nibbles[kBlockValues / 2];
};

// x[i] = scale * nibble + min
struct BlockQ4_1 {
  std::uint16_t scale;  // f16
  std::uint16_t min;    // f16
  std::uint8_t nibbles[kBlockValues / 2];
};

// The fifth bit of value i is bit i of the little-endian word high_bits.
// x[i] = scale * ((nibble | fifth << 4) - 16)
struct BlockQ5_0 {
  std::uint16_t scale;  // f16
  std::uint8_t high_bits[4];
  std::uint8_t nibbles[kBlockValues / 2];
};

// x[i] = scale * (nibble | fifth << 4) + min
struct BlockQ5_1 {
  std::uint16_t scale;  // f16
  std::uint16_t min;    // f16
  std::uint8_t high_bits[4];
  std::uint8_t nibbles[kBlockValues / 2];
};

static_assert(sizeof(BlockQ8_0) == 34 && alignof(BlockQ8_0) == 2);
static_assert(sizeof(BlockQ4_0) == 18 && alignof(BlockQ4_0) == 2);
static_assert(sizeof(BlockQ4_1) == 20 && alignof(BlockQ4_1) == 2);
static_assert(sizeof(BlockQ5_0) == 22 && alignof(BlockQ5_0) == 2);
static_assert(sizeof(BlockQ5_1) == 24 && alignof(BlockQ5_1) == 2);

}  // namespace paring::quant
