// SPDX-License-Identifier: Apache-2.0
#include "kernels/block_layout.h"

#include <cstring>

#include "quant/super_block.h"

namespace paring::kernels {
namespace {

// clang-format off
constexpr BlockLayout kLayouts[] = {
    // type          values bytes scale min subs sub_bytes low high zero codes
    {DType::kQ8_0,   32,    34,   0,    -1, 0,   0,        8,  0,   0,   2},
    {DType::kQ4_0,   32,    18,   0,    -1, 0,   0,        4,  0,   8,   2},
    {DType::kQ4_1,   32,    20,   0,    2,  0,   0,        4,  0,   0,   4},
    {DType::kQ5_0,   32,    22,   0,    -1, 0,   0,        4,  1,   16,  6},
    {DType::kQ5_1,   32,    24,   0,    2,  0,   0,        4,  1,   0,   8},
    {DType::kIQ4_NL, 32,    18,   0,    -1, 0,   0,        4,  0,   0,   2},
    {DType::kQ2_K,   256,   84,   80,   82, 0,   16,       2,  0,   0,   0},
    {DType::kQ3_K,   256,   110,  108,  -1, 96,  12,       2,  1,   4,   0},
    {DType::kQ4_K,   256,   144,  0,    2,  4,   12,       4,  0,   0,   0},
    {DType::kQ5_K,   256,   176,  0,    2,  4,   12,       4,  1,   0,   0},
    {DType::kQ6_K,   256,   210,  208,  -1, 192, 16,       4,  2,   32,  0},
    {DType::kIQ4_XS, 256,   136,  0,    -1, 2,   6,        4,  0,   0,   0},
};
// clang-format on

constexpr std::size_t kHalf = kGroupValues / 2;

// Blocks of 32 values: byte i of the codes holds value i in its low and value i + 16 in its high
// nibble; fifth bits lie in a word before them.
void read_block(const BlockLayout& layout, const std::byte* block, std::uint8_t* codes) {
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(block) + layout.codes;
  if (layout.low_bits == 8) {
    std::memcpy(codes, bytes, kGroupValues);
    return;
  }
  for (std::size_t i = 0; i < kHalf; ++i) {
    codes[i] = bytes[i] & 15;
    codes[kHalf + i] = bytes[i] >> 4;
  }
  if (layout.high_bits == 0) return;
  std::uint32_t high;
  std::memcpy(&high, bytes - 4, 4);
  for (unsigned i = 0; i < kGroupValues; ++i) {
    codes[i] |= static_cast<std::uint8_t>((high >> i & 1) << 4);
  }
}

void write_block(const BlockLayout& layout, const std::uint8_t* codes, std::byte* block) {
  auto* bytes = reinterpret_cast<std::uint8_t*>(block) + layout.codes;
  if (layout.low_bits == 8) {
    std::memcpy(bytes, codes, kGroupValues);
    return;
  }
  for (std::size_t i = 0; i < kHalf; ++i) {
    bytes[i] = static_cast<std::uint8_t>((codes[i] & 15U) | (codes[kHalf + i] & 15U) << 4);
  }
  if (layout.high_bits == 0) return;
  std::uint32_t high = 0;
  for (unsigned i = 0; i < kGroupValues; ++i) {
    high |= static_cast<std::uint32_t>(codes[i] >> 4 & 1) << i;
  }
  std::memcpy(bytes - 4, &high, 4);
}

}  // namespace

std::span<const BlockLayout> block_layouts() noexcept { return kLayouts; }

const BlockLayout* find_block_layout(DType type) noexcept {
  for (const BlockLayout& layout : kLayouts) {
    if (layout.type == type) return &layout;
  }
  return nullptr;
}

void read_codes(const BlockLayout& layout, const std::byte* block, std::uint8_t* codes) noexcept {
  if (layout.values == kGroupValues) return read_block(layout, block, codes);
  quant::SuperBlock parts;
  quant::find_super_layout(layout.type)->take_apart(block, parts);
  for (std::size_t i = 0; i < kSuperValues; ++i) {
    codes[i] = static_cast<std::uint8_t>(parts.codes[i] + layout.zero);
  }
}

void write_codes(const BlockLayout& layout, const std::uint8_t* codes, std::byte* block) noexcept {
  if (layout.values == kGroupValues) return write_block(layout, codes, block);
  const quant::SuperLayout& super = *quant::find_super_layout(layout.type);
  quant::SuperBlock parts;
  super.take_apart(block, parts);
  for (std::size_t i = 0; i < kSuperValues; ++i) {
    parts.codes[i] = static_cast<std::int8_t>(codes[i] - layout.zero);
  }
  super.put_together(parts, block);
}

}  // namespace paring::kernels
