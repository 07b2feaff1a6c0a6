// SPDX-License-Identifier: Apache-2.0
// Layouts of blocks of 32 values and super-blocks of 256, as they lie in files (little endian). A
// row of a block type is an array of these. Plain data: ISA folders may include this header, it
// holds no inline function. Source: GGUF specification; ggml block structures.
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

// Nibbles index kIq4Values. x[i] = scale * kIq4Values[nibble]
struct BlockIQ4_NL {
  std::uint16_t scale;  // f16
  std::uint8_t nibbles[kBlockValues / 2];
};

// The 16 levels of IQ4_NL and IQ4_XS, dense around zero. Part of the file format.
inline constexpr std::int8_t kIq4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                               1,    13,   25,  38,  53,  69,  89,  113};

// ---- Super-blocks of 256 values. Each sub-block of 16 or 32 has an integer scale (and min) of its
// own, in units of the super-block's f16 ones. `super_block.h` takes them apart and puts them
// together; the bit positions are told here.

inline constexpr std::size_t kSuperValues = 256;

// 16 sub-blocks of 16. Byte j of scales: the scale (low half) and min (high half) of sub-block j.
// Value i: bits 2*(i % 128 / 32) and up of pairs[32 * (i / 128) + i % 32].
// x[i] = (scale * sub_scale) * code - (min_scale * sub_min), codes 0..3
struct BlockQ2_K {
  std::uint8_t scales[kSuperValues / 16];
  std::uint8_t pairs[kSuperValues / 4];
  std::uint16_t scale;      // f16
  std::uint16_t min_scale;  // f16
};

// 16 sub-blocks of 16. Low two bits of a code as in Q2_K; its third bit is bit i / 32 of
// high_bits[i % 32]. 6-bit scales, less 32: low halves in bytes 0..7 (sub-block j: byte j % 8, high
// nibble from j = 8 on), upper two bits at 2 * (j / 4) of byte 8 + j % 4.
// x[i] = (scale * sub_scale) * code, codes -4..3
struct BlockQ3_K {
  std::uint8_t high_bits[kSuperValues / 8];
  std::uint8_t pairs[kSuperValues / 4];
  std::uint8_t scales[12];
  std::uint16_t scale;  // f16
};

// 8 sub-blocks of 32. Sub-blocks 2p and 2p+1 are the low and high nibbles of nibbles[32p ..
// 32p+31]. 6-bit scales and mins: sub-block j < 4 in the low six bits of bytes j and 4 + j; j >= 4
// in the nibbles of byte j + 4 (scale low, min high) with the upper two bits at the top of bytes j
// - 4 and j. x[i] = (scale * sub_scale) * code - (min_scale * sub_min), codes 0..15
struct BlockQ4_K {
  std::uint16_t scale;      // f16
  std::uint16_t min_scale;  // f16
  std::uint8_t scales[12];
  std::uint8_t nibbles[kSuperValues / 2];
};

// As Q4_K with codes 0..31; the fifth bit of value i is bit i / 32 of high_bits[i % 32].
struct BlockQ5_K {
  std::uint16_t scale;      // f16
  std::uint16_t min_scale;  // f16
  std::uint8_t scales[12];
  std::uint8_t high_bits[kSuperValues / 8];
  std::uint8_t nibbles[kSuperValues / 2];
};

// 16 sub-blocks of 16. Value i, with h = i / 128, p = i % 128 / 32, l = i % 32: low four bits in
// the low (p < 2) or high nibble of nibbles[64h + 32 * (p % 2) + l], upper two at bit 2p of
// high_pairs[32h + l].
// x[i] = (scale * sub_scale) * code, codes -32..31
struct BlockQ6_K {
  std::uint8_t nibbles[kSuperValues / 2];
  std::uint8_t high_pairs[kSuperValues / 4];
  std::int8_t scales[kSuperValues / 16];
  std::uint16_t scale;  // f16
};

// 8 sub-blocks of 32, each with nibbles as in IQ4_NL. 6-bit scales, less 32: low four bits of
// sub-block j in nibble j of scales_low, upper two at bit 2j of scales_high.
// x[i] = (scale * sub_scale) * kIq4Values[nibble]
struct BlockIQ4_XS {
  std::uint16_t scale;  // f16
  std::uint16_t scales_high;
  std::uint8_t scales_low[kSuperValues / 64];
  std::uint8_t nibbles[kSuperValues / 2];
};

static_assert(sizeof(BlockQ8_0) == 34 && alignof(BlockQ8_0) == 2);
static_assert(sizeof(BlockQ4_0) == 18 && alignof(BlockQ4_0) == 2);
static_assert(sizeof(BlockQ4_1) == 20 && alignof(BlockQ4_1) == 2);
static_assert(sizeof(BlockQ5_0) == 22 && alignof(BlockQ5_0) == 2);
static_assert(sizeof(BlockQ5_1) == 24 && alignof(BlockQ5_1) == 2);
static_assert(sizeof(BlockIQ4_NL) == 18 && alignof(BlockIQ4_NL) == 2);
static_assert(sizeof(BlockQ2_K) == 84 && alignof(BlockQ2_K) == 2);
static_assert(sizeof(BlockQ3_K) == 110 && alignof(BlockQ3_K) == 2);
static_assert(sizeof(BlockQ4_K) == 144 && alignof(BlockQ4_K) == 2);
static_assert(sizeof(BlockQ5_K) == 176 && alignof(BlockQ5_K) == 2);
static_assert(sizeof(BlockQ6_K) == 210 && alignof(BlockQ6_K) == 2);
static_assert(sizeof(BlockIQ4_XS) == 136 && alignof(BlockIQ4_XS) == 2);

}  // namespace paring::quant
