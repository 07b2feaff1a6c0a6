// SPDX-License-Identifier: Apache-2.0
// How a block of each type splits into the planes of a panel: plain codes in column order, f16
// scale and minimum, bytes of sub-scales. Private to packed_matrix.cc. Constant data and pure
// functions. Source: quant/blocks.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/packed_matrix.h"
#include "tensor/dtype.h"

namespace paring::kernels {

inline constexpr std::size_t kBlockValuesMax = 256;
inline constexpr std::size_t kBlockBytesMax = 210;

struct BlockLayout {
  DType type;
  std::size_t values;     // of a block: 32 or 256
  std::size_t bytes;      // of a block in the file
  std::size_t scale;      // offset of the f16 scale in the file's block
  int min;                // offset of the f16 minimum (of its scale, with sub-scales); -1: none
  std::size_t subs;       // offset of the sub-scales
  std::size_t sub_bytes;  // 0: the type has none
  int low_bits;           // of a code in the plane `codes`: 8, 4 or 2
  int high_bits;          // of a code in the plane `high`: 0, 1 or 2
  std::uint8_t zero;      // code that stands for 0 (any, where only a scale of 0 gives 0)
  std::size_t codes;      // offset of the codes, in blocks of 32
};

// The block's codes in column order, one a byte; and back, which sets the bits of the codes and
// leaves all others of the block alone.
void read_codes(const BlockLayout& layout, const std::byte* block, std::uint8_t* codes) noexcept;
void write_codes(const BlockLayout& layout, const std::uint8_t* codes, std::byte* block) noexcept;

// Every block type that has a panel layout.
std::span<const BlockLayout> block_layouts() noexcept;
// Null for float types and types without a panel layout.
const BlockLayout* find_block_layout(DType type) noexcept;

}  // namespace paring::kernels
