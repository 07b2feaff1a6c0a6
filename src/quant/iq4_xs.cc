// SPDX-License-Identifier: Apache-2.0
// IQ4_XS: super-blocks of 256, 8 sub-blocks with 6-bit scale, codes into IQ4_NL's 16 levels; 4.25
// bits a weight.
#include <cstring>

#include "quant/format.h"
#include "quant/super_block.h"
#include "quant/super_search.h"

namespace paring::quant {

namespace {

void take_apart(const std::byte* bytes, SuperBlock& parts) noexcept {
  BlockIQ4_XS block;
  std::memcpy(&block, bytes, sizeof(block));
  parts.scale = block.scale;
  parts.min_scale = 0;
  std::memset(parts.sub_mins, 0, sizeof(parts.sub_mins));
  for (std::size_t j = 0; j < 8; ++j) {
    const int low = block.scales_low[j / 2] >> (4 * (j % 2)) & 0x0f;
    const int high = block.scales_high >> (2 * j) & 3;
    parts.sub_scales[j] = static_cast<std::int8_t>((low | high << 4) - 32);
    for (std::size_t l = 0; l < 16; ++l) {
      const std::uint8_t byte = block.nibbles[j * 16 + l];
      parts.codes[j * 32 + l] = static_cast<std::int8_t>(byte & 0x0f);
      parts.codes[j * 32 + 16 + l] = static_cast<std::int8_t>(byte >> 4);
    }
  }
}

void put_together(const SuperBlock& parts, std::byte* bytes) noexcept {
  BlockIQ4_XS block{};
  block.scale = parts.scale;
  for (std::size_t j = 0; j < 8; ++j) {
    const auto scale = static_cast<unsigned>(parts.sub_scales[j] + 32);
    std::uint8_t& low = block.scales_low[j / 2];
    low = static_cast<std::uint8_t>(low | (scale & 0x0fU) << (4 * (j % 2)));
    block.scales_high = static_cast<std::uint16_t>(block.scales_high | scale >> 4 << (2 * j));
    for (std::size_t l = 0; l < 16; ++l) {
      const auto first = static_cast<unsigned>(parts.codes[j * 32 + l]);
      const auto second = static_cast<unsigned>(parts.codes[j * 32 + 16 + l]);
      block.nibbles[j * 16 + l] = static_cast<std::uint8_t>(first | second << 4);
    }
  }
  std::memcpy(bytes, &block, sizeof(block));
}

}  // namespace

extern const SuperLayout kSuperIQ4_XS;
constexpr SuperLayout kSuperIQ4_XS{DType::kIQ4_XS, sizeof(BlockIQ4_XS), 32, 0, 15, -32, 31, 0, true,
                                   take_apart,     put_together};

namespace {

void decode_iq4_xs(const std::byte* source, float* target, std::size_t values) noexcept {
  decode_super(kSuperIQ4_XS, source, target, values);
}

// Chosen greedily, the most useful first, on rows of SmolLM2 with measured importance and with
// none, on gaussian and on heavy-tailed rows.
constexpr float kPositions[] = {-131.0F, 117.0F, -107.0F, -153.0F, 137.0F,  -123.0F,
                                93.0F,   -85.0F, 109.0F,  -139.0F, -67.0F,  65.0F,
                                125.0F,  -99.0F, -155.0F, 139.0F,  -117.0F, 83.0F};
constexpr ScaleGrid kGrid{kPositions, 2};
constexpr auto kScalePositions = positions_at_ends<30>(-32.0F, 31.0F, 0.5F);
constexpr SuperGrid kSuperGrid{kScalePositions, {}, 3};

void encode_iq4_xs(const float* source, const float* importance, std::byte* target,
                   std::size_t values) noexcept {
  encode_super_symmetric(kSuperIQ4_XS, kGrid, kSuperGrid, source, importance, target, values);
}

}  // namespace

extern const Format kFormatIQ4_XS;
const Format kFormatIQ4_XS{DType::kIQ4_XS, decode_iq4_xs, encode_iq4_xs, true};

}  // namespace paring::quant
