// SPDX-License-Identifier: Apache-2.0
#include "shrink/grid.h"

#include <cstring>

#include "quant/blocks.h"
#include "quant/format.h"
#include "quant/super_block.h"

namespace paring::shrink {

namespace {

using quant::f16_to_f32;
using quant::kBlockValues;

constexpr std::size_t kHalf = kBlockValues / 2;

// Of blocks of 32 with an f16 scale and, where the block has one, an f16 min.
template <typename Block>
void read_blocks(const std::byte* row, std::size_t cols, float* scales, float* offsets) {
  for (std::size_t b = 0; b < cols / kBlockValues; ++b) {
    Block block;
    std::memcpy(&block, row + b * sizeof(Block), sizeof(Block));
    scales[b] = f16_to_f32(block.scale);
    if constexpr (requires { block.min; }) {
      offsets[b] = f16_to_f32(block.min);
    } else {
      offsets[b] = 0.0F;
    }
  }
}

// Nibbles and, where the block has them, fifth bits; `Zero` is what the smallest code is stored as
// 0 for.
template <typename Block, int Zero>
void write_nibbles(const std::int8_t* codes, std::size_t cols, std::byte* row) {
  for (std::size_t b = 0; b < cols / kBlockValues; ++b, codes += kBlockValues) {
    Block block;
    std::memcpy(&block, row + b * sizeof(Block), sizeof(Block));
    std::uint32_t fifth = 0;
    for (std::size_t j = 0; j < kHalf; ++j) {
      const auto low = static_cast<unsigned>(codes[j] + Zero);
      const auto high = static_cast<unsigned>(codes[j + kHalf] + Zero);
      block.nibbles[j] = static_cast<std::uint8_t>((low & 0x0fU) | (high & 0x0fU) << 4U);
      fifth |= (low >> 4U & 1U) << j | (high >> 4U & 1U) << (j + kHalf);
    }
    if constexpr (requires { block.high_bits; }) {
      for (std::size_t i = 0; i < sizeof(block.high_bits); ++i) {
        block.high_bits[i] = static_cast<std::uint8_t>(fifth >> (8 * i));
      }
    }
    std::memcpy(row + b * sizeof(Block), &block, sizeof(Block));
  }
}

void write_bytes(const std::int8_t* codes, std::size_t cols, std::byte* row) {
  for (std::size_t b = 0; b < cols / kBlockValues; ++b) {
    std::memcpy(row + b * sizeof(quant::BlockQ8_0) + offsetof(quant::BlockQ8_0, codes),
                codes + b * kBlockValues, kBlockValues);
  }
}

// Of super-blocks of 256: sub-scales and sub-mins are integers times one f16 of each.
template <DType Type>
void read_super(const std::byte* row, std::size_t cols, float* scales, float* offsets) {
  const quant::SuperLayout& layout = *quant::find_super_layout(Type);
  quant::SuperBlock parts;
  for (std::size_t b = 0; b < cols / quant::kSuperValues; ++b) {
    layout.take_apart(row + b * layout.bytes, parts);
    for (std::size_t j = 0; j < layout.sub_blocks(); ++j) {
      const std::size_t at = b * layout.sub_blocks() + j;
      scales[at] = f16_to_f32(parts.scale) * static_cast<float>(parts.sub_scales[j]);
      offsets[at] = layout.sub_min_highest == 0
                        ? 0.0F
                        : -f16_to_f32(parts.min_scale) * static_cast<float>(parts.sub_mins[j]);
    }
  }
}

template <DType Type>
void write_super(const std::int8_t* codes, std::size_t cols, std::byte* row) {
  const quant::SuperLayout& layout = *quant::find_super_layout(Type);
  quant::SuperBlock parts;
  for (std::size_t b = 0; b < cols / quant::kSuperValues; ++b) {
    std::byte* block = row + b * layout.bytes;
    layout.take_apart(block, parts);
    std::memcpy(parts.codes, codes + b * quant::kSuperValues, quant::kSuperValues);
    layout.put_together(parts, block);
  }
}

// IQ4_NL's codes are Q4_0's nibbles without a zero point.
using quant::BlockIQ4_NL;
using quant::BlockQ4_0;
using quant::BlockQ4_1;
using quant::BlockQ5_0;
using quant::BlockQ5_1;
using quant::BlockQ8_0;

constexpr Grid kGrids[] = {
    {DType::kQ4_0, kBlockValues, -8, 7, nullptr, read_blocks<BlockQ4_0>,
     write_nibbles<BlockQ4_0, 8>},
    {DType::kQ4_1, kBlockValues, 0, 15, nullptr, read_blocks<BlockQ4_1>,
     write_nibbles<BlockQ4_1, 0>},
    {DType::kQ5_0, kBlockValues, -16, 15, nullptr, read_blocks<BlockQ5_0>,
     write_nibbles<BlockQ5_0, 16>},
    {DType::kQ5_1, kBlockValues, 0, 31, nullptr, read_blocks<BlockQ5_1>,
     write_nibbles<BlockQ5_1, 0>},
    {DType::kQ8_0, kBlockValues, -127, 127, nullptr, read_blocks<BlockQ8_0>, write_bytes},
    {DType::kIQ4_NL, kBlockValues, 0, 15, quant::kIq4Values, read_blocks<BlockIQ4_NL>,
     write_nibbles<BlockIQ4_NL, 0>},
    {DType::kIQ4_XS, 32, 0, 15, quant::kIq4Values, read_super<DType::kIQ4_XS>,
     write_super<DType::kIQ4_XS>},
    {DType::kQ2_K, 16, 0, 3, nullptr, read_super<DType::kQ2_K>, write_super<DType::kQ2_K>},
    {DType::kQ3_K, 16, -4, 3, nullptr, read_super<DType::kQ3_K>, write_super<DType::kQ3_K>},
    {DType::kQ4_K, 32, 0, 15, nullptr, read_super<DType::kQ4_K>, write_super<DType::kQ4_K>},
    {DType::kQ5_K, 32, 0, 31, nullptr, read_super<DType::kQ5_K>, write_super<DType::kQ5_K>},
    {DType::kQ6_K, 16, -32, 31, nullptr, read_super<DType::kQ6_K>, write_super<DType::kQ6_K>},
};

}  // namespace

const Grid* find_grid(DType type) noexcept {
  for (const Grid& grid : kGrids) {
    if (grid.type == type) return &grid;
  }
  return nullptr;
}

}  // namespace paring::shrink
