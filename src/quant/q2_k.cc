// SPDX-License-Identifier: Apache-2.0
// Q2_K: super-blocks of 256, 16 sub-blocks with 4-bit scale and min, 2-bit codes; 2.625 bits a
// weight.
#include <cstring>

#include "quant/format.h"
#include "quant/super_block.h"
#include "quant/super_search.h"

namespace paring::quant {

namespace {

void take_apart(const std::byte* bytes, SuperBlock& parts) noexcept {
  BlockQ2_K block;
  std::memcpy(&block, bytes, sizeof(block));
  parts.scale = block.scale;
  parts.min_scale = block.min_scale;
  for (std::size_t j = 0; j < 16; ++j) {
    parts.sub_scales[j] = static_cast<std::int8_t>(block.scales[j] & 0x0f);
    parts.sub_mins[j] = block.scales[j] >> 4;
  }
  for (std::size_t run = 0; run < 8; ++run) {
    const std::uint8_t* pairs = block.pairs + run / 4 * 32;
    for (std::size_t l = 0; l < 32; ++l) {
      parts.codes[run * 32 + l] = static_cast<std::int8_t>(pairs[l] >> (2 * (run % 4)) & 3);
    }
  }
}

void put_together(const SuperBlock& parts, std::byte* bytes) noexcept {
  BlockQ2_K block{};
  block.scale = parts.scale;
  block.min_scale = parts.min_scale;
  for (std::size_t j = 0; j < 16; ++j) {
    block.scales[j] = static_cast<std::uint8_t>(parts.sub_scales[j] | parts.sub_mins[j] << 4);
  }
  for (std::size_t run = 0; run < 8; ++run) {
    std::uint8_t* pairs = block.pairs + run / 4 * 32;
    for (std::size_t l = 0; l < 32; ++l) {
      const auto code = static_cast<unsigned>(parts.codes[run * 32 + l]);
      pairs[l] = static_cast<std::uint8_t>(pairs[l] | code << (2 * (run % 4)));
    }
  }
  std::memcpy(bytes, &block, sizeof(block));
}

}  // namespace

extern const SuperLayout kSuperQ2_K;
constexpr SuperLayout kSuperQ2_K{DType::kQ2_K, sizeof(BlockQ2_K), 16,          0, 3, 0, 15, 15,
                                 false,        take_apart,        put_together};

namespace {

void decode_q2_k(const std::byte* source, float* target, std::size_t values) noexcept {
  decode_super(kSuperQ2_K, source, target, values);
}

// Chosen greedily, the most useful first, on rows of SmolLM2 with measured importance and with
// none, on gaussian and on heavy-tailed rows.
constexpr AffineGrid::Point kPoints[] = {
    {0.30F, 0.30F},  {0.60F, -0.00F}, {-0.00F, 0.60F}, {-0.40F, 0.90F}, {1.10F, -0.00F},
    {-0.00F, 0.10F}, {0.90F, 0.60F},  {0.30F, 1.20F},  {1.00F, -0.40F}, {0.10F, -0.40F},
    {0.60F, 0.90F},  {-0.40F, 1.10F}, {-0.30F, 0.20F}, {1.20F, 0.30F},  {0.40F, 0.10F},
    {1.20F, -0.30F}, {-0.00F, 1.20F}, {0.20F, 0.50F}};
constexpr AffineGrid kGrid{kPoints, 2, {}};
constexpr auto kIntegerPositions = positions_from<24>(15.0F, -0.25F);
constexpr SuperGrid kSuperGrid{kIntegerPositions, kIntegerPositions, 3};

void encode_q2_k(const float* source, const float* importance, std::byte* target,
                 std::size_t values) noexcept {
  encode_super_affine(kSuperQ2_K, kGrid, kSuperGrid, source, importance, target, values);
}

}  // namespace

extern const Format kFormatQ2_K;
const Format kFormatQ2_K{DType::kQ2_K, decode_q2_k, encode_q2_k, true};

}  // namespace paring::quant
