// SPDX-License-Identifier: Apache-2.0
// Q5_K: super-blocks of 256, 8 sub-blocks with 6-bit scale and min, 5-bit codes; 5.5 bits a weight.
#include <cstring>

#include "quant/format.h"
#include "quant/k_scales.h"
#include "quant/super_block.h"
#include "quant/super_search.h"

namespace paring::quant {

namespace {

void take_apart(const std::byte* bytes, SuperBlock& parts) noexcept {
  BlockQ5_K block;
  std::memcpy(&block, bytes, sizeof(block));
  parts.scale = block.scale;
  parts.min_scale = block.min_scale;
  take_apart_scales(block.scales, parts.sub_scales, parts.sub_mins);
  for (std::size_t j = 0; j < 8; ++j) {
    for (std::size_t l = 0; l < 32; ++l) {
      const int low = block.nibbles[j / 2 * 32 + l] >> (4 * (j % 2)) & 0x0f;
      const int high = block.high_bits[l] >> j & 1;
      parts.codes[j * 32 + l] = static_cast<std::int8_t>(low | high << 4);
    }
  }
}

void put_together(const SuperBlock& parts, std::byte* bytes) noexcept {
  BlockQ5_K block{};
  block.scale = parts.scale;
  block.min_scale = parts.min_scale;
  put_together_scales(parts.sub_scales, parts.sub_mins, block.scales);
  for (std::size_t j = 0; j < 8; ++j) {
    for (std::size_t l = 0; l < 32; ++l) {
      const auto code = static_cast<unsigned>(parts.codes[j * 32 + l]);
      std::uint8_t& nibbles = block.nibbles[j / 2 * 32 + l];
      nibbles = static_cast<std::uint8_t>(nibbles | (code & 0x0fU) << (4 * (j % 2)));
      block.high_bits[l] = static_cast<std::uint8_t>(block.high_bits[l] | code >> 4 << j);
    }
  }
  std::memcpy(bytes, &block, sizeof(block));
}

}  // namespace

extern const SuperLayout kSuperQ5_K;
constexpr SuperLayout kSuperQ5_K{DType::kQ5_K, sizeof(BlockQ5_K), 32,          0, 31, 0, 63, 63,
                                 false,        take_apart,        put_together};

namespace {

void decode_q5_k(const std::byte* source, float* target, std::size_t values) noexcept {
  decode_super(kSuperQ5_K, source, target, values);
}

// Chosen greedily, the most useful first, on rows of SmolLM2 with measured importance and with
// none, on gaussian and on heavy-tailed rows.
constexpr AffineGrid::Point kPoints[] = {
    {0.00F, 0.00F},   {-1.20F, 0.00F},  {0.00F, -1.80F}, {0.00F, 0.60F},   {0.60F, 0.00F},
    {-1.20F, -2.40F}, {-2.40F, -2.40F}, {-0.60F, 0.00F}, {0.00F, -2.40F},  {-3.00F, -1.80F},
    {0.60F, 1.80F},   {1.20F, 0.00F},   {0.60F, 0.60F},  {-3.00F, -3.00F}, {2.40F, 0.00F},
    {0.00F, 2.40F},   {0.00F, -0.60F},  {0.00F, -3.00F}, {0.00F, 1.20F},   {0.00F, -1.20F},
    {1.80F, 0.60F},   {-1.80F, -1.20F}, {1.20F, 1.20F},  {-3.00F, -2.40F}};
constexpr AffineGrid kGrid{kPoints, 2, {}};
constexpr auto kIntegerPositions = positions_from<28>(63.0F, -0.5F);
constexpr SuperGrid kSuperGrid{kIntegerPositions, kIntegerPositions, 3};

void encode_q5_k(const float* source, const float* importance, std::byte* target,
                 std::size_t values) noexcept {
  encode_super_affine(kSuperQ5_K, kGrid, kSuperGrid, source, importance, target, values);
}

}  // namespace

extern const Format kFormatQ5_K;
const Format kFormatQ5_K{DType::kQ5_K, decode_q5_k, encode_q5_k, true};

}  // namespace paring::quant
