// SPDX-License-Identifier: Apache-2.0
// Q4_K: super-blocks of 256, 8 sub-blocks with 6-bit scale and min, 4-bit codes; 4.5 bits a weight.
#include <cstring>

#include "quant/format.h"
#include "quant/k_scales.h"
#include "quant/super_block.h"
#include "quant/super_search.h"

namespace paring::quant {

namespace {

void take_apart(const std::byte* bytes, SuperBlock& parts) noexcept {
  BlockQ4_K block;
  std::memcpy(&block, bytes, sizeof(block));
  parts.scale = block.scale;
  parts.min_scale = block.min_scale;
  take_apart_scales(block.scales, parts.sub_scales, parts.sub_mins);
  for (std::size_t pair = 0; pair < 4; ++pair) {
    for (std::size_t l = 0; l < 32; ++l) {
      const std::uint8_t byte = block.nibbles[pair * 32 + l];
      parts.codes[pair * 64 + l] = static_cast<std::int8_t>(byte & 0x0f);
      parts.codes[pair * 64 + 32 + l] = static_cast<std::int8_t>(byte >> 4);
    }
  }
}

void put_together(const SuperBlock& parts, std::byte* bytes) noexcept {
  BlockQ4_K block;
  block.scale = parts.scale;
  block.min_scale = parts.min_scale;
  put_together_scales(parts.sub_scales, parts.sub_mins, block.scales);
  for (std::size_t pair = 0; pair < 4; ++pair) {
    for (std::size_t l = 0; l < 32; ++l) {
      const auto low = static_cast<unsigned>(parts.codes[pair * 64 + l]);
      const auto high = static_cast<unsigned>(parts.codes[pair * 64 + 32 + l]);
      block.nibbles[pair * 32 + l] = static_cast<std::uint8_t>(low | high << 4);
    }
  }
  std::memcpy(bytes, &block, sizeof(block));
}

}  // namespace

extern const SuperLayout kSuperQ4_K;
constexpr SuperLayout kSuperQ4_K{DType::kQ4_K, sizeof(BlockQ4_K), 32,          0, 15, 0, 63, 63,
                                 false,        take_apart,        put_together};

namespace {

void decode_q4_k(const std::byte* source, float* target, std::size_t values) noexcept {
  decode_super(kSuperQ4_K, source, target, values);
}

// Chosen greedily, the most useful first, on rows of SmolLM2 with measured importance and with
// none, on gaussian and on heavy-tailed rows.
constexpr AffineGrid::Point kPoints[] = {
    {0.30F, 0.30F}, {0.60F, -0.30F}, {0.00F, 0.60F},   {0.00F, -1.20F},  {-1.20F, -1.20F},
    {0.30F, 0.00F}, {0.30F, 1.50F},  {-0.30F, 0.00F},  {1.50F, 0.30F},   {-0.30F, -0.90F},
    {0.90F, 0.90F}, {0.30F, 2.40F},  {2.40F, 0.30F},   {-1.50F, -0.90F}, {0.90F, 0.30F},
    {0.60F, 1.20F}, {0.00F, -0.30F}, {-0.60F, -1.50F}, {-0.60F, 0.30F},  {3.00F, 0.00F},
    {0.00F, 1.80F}, {0.00F, 3.00F},  {0.00F, 0.30F},   {1.80F, 0.00F},   {1.80F, 1.20F},
    {0.00F, 0.90F}};
constexpr AffineGrid kGrid{kPoints, 2, {}};
constexpr auto kIntegerPositions = positions_from<28>(63.0F, -0.5F);
constexpr SuperGrid kSuperGrid{kIntegerPositions, kIntegerPositions, 3};

void encode_q4_k(const float* source, const float* importance, std::byte* target,
                 std::size_t values) noexcept {
  encode_super_affine(kSuperQ4_K, kGrid, kSuperGrid, source, importance, target, values);
}

}  // namespace

extern const Format kFormatQ4_K;
const Format kFormatQ4_K{DType::kQ4_K, decode_q4_k, encode_q4_k, true};

}  // namespace paring::quant
