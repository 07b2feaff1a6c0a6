// SPDX-License-Identifier: Apache-2.0
// A super-block taken apart: 256 codes, the integer scales and mins of its sub-blocks and the f16
// scales over them, in the order of the values whatever the type's bit layout. The one place where
// the bit layouts are known; decoding, encoding and panels go through it. Stateless, thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>

#include "quant/blocks.h"
#include "tensor/dtype.h"

namespace paring::quant {

inline constexpr std::size_t kSubBlocksMax = 16;

// x[i] = (scale * sub_scales[j]) * level(codes[i]) - (min_scale * sub_mins[j]), j = i / sub_values;
// level(c) is c, or kIq4Values[c] in IQ4_XS. Multiplied in f32 in this order.
struct SuperBlock {
  std::uint16_t scale;      // f16
  std::uint16_t min_scale;  // f16; 0 in types without mins
  std::int8_t sub_scales[kSubBlocksMax];
  std::uint8_t sub_mins[kSubBlocksMax];  // 0 in types without mins
  std::int8_t codes[kSuperValues];
};

struct SuperLayout {
  DType type;
  std::size_t bytes;
  std::size_t sub_values;  // 16 or 32
  int lowest;              // codes
  int highest;
  int sub_scale_lowest;  // integer scales
  int sub_scale_highest;
  int sub_min_highest;  // 0: no mins
  bool is_codebook;     // codes are indices of kIq4Values
  // Every bit pattern is a block; take_apart() and put_together() are inverse to each other, bit by
  // bit. `bytes` may be unaligned. put_together() REQUIRES every part within the bounds above.
  void (*take_apart)(const std::byte* bytes, SuperBlock& parts) noexcept;
  void (*put_together)(const SuperBlock& parts, std::byte* bytes) noexcept;

  std::size_t sub_blocks() const noexcept { return kSuperValues / sub_values; }
};

// Null when the type has no super-blocks.
const SuperLayout* find_super_layout(DType type) noexcept;

// Format::decode of the types with super-blocks.
void decode_super(const SuperLayout& layout, const std::byte* source, float* target,
                  std::size_t values) noexcept;

}  // namespace paring::quant
