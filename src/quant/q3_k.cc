// SPDX-License-Identifier: Apache-2.0
// Q3_K: super-blocks of 256, 16 sub-blocks with 6-bit scale, 3-bit codes; 3.4375 bits a weight.
#include <cstring>

#include "quant/format.h"
#include "quant/super_block.h"
#include "quant/super_search.h"

namespace paring::quant {

namespace {

void take_apart(const std::byte* bytes, SuperBlock& parts) noexcept {
  BlockQ3_K block;
  std::memcpy(&block, bytes, sizeof(block));
  parts.scale = block.scale;
  parts.min_scale = 0;
  for (std::size_t j = 0; j < 16; ++j) {
    const int low = block.scales[j % 8] >> (j < 8 ? 0 : 4) & 0x0f;
    const int high = block.scales[8 + j % 4] >> (2 * (j / 4)) & 3;
    parts.sub_scales[j] = static_cast<std::int8_t>((low | high << 4) - 32);
    parts.sub_mins[j] = 0;
  }
  for (std::size_t run = 0; run < 8; ++run) {
    const std::uint8_t* pairs = block.pairs + run / 4 * 32;
    for (std::size_t l = 0; l < 32; ++l) {
      const int low = pairs[l] >> (2 * (run % 4)) & 3;
      const int high = block.high_bits[l] >> run & 1;
      parts.codes[run * 32 + l] = static_cast<std::int8_t>((low | high << 2) - 4);
    }
  }
}

void put_together(const SuperBlock& parts, std::byte* bytes) noexcept {
  BlockQ3_K block{};
  block.scale = parts.scale;
  for (std::size_t j = 0; j < 16; ++j) {
    const auto scale = static_cast<unsigned>(parts.sub_scales[j] + 32);
    std::uint8_t& low = block.scales[j % 8];
    low = static_cast<std::uint8_t>(low | (scale & 0x0fU) << (j < 8 ? 0 : 4));
    std::uint8_t& high = block.scales[8 + j % 4];
    high = static_cast<std::uint8_t>(high | scale >> 4 << (2 * (j / 4)));
  }
  for (std::size_t run = 0; run < 8; ++run) {
    std::uint8_t* pairs = block.pairs + run / 4 * 32;
    for (std::size_t l = 0; l < 32; ++l) {
      const auto code = static_cast<unsigned>(parts.codes[run * 32 + l] + 4);
      pairs[l] = static_cast<std::uint8_t>(pairs[l] | (code & 3U) << (2 * (run % 4)));
      block.high_bits[l] = static_cast<std::uint8_t>(block.high_bits[l] | code >> 2 << run);
    }
  }
  std::memcpy(bytes, &block, sizeof(block));
}

}  // namespace

extern const SuperLayout kSuperQ3_K;
constexpr SuperLayout kSuperQ3_K{DType::kQ3_K, sizeof(BlockQ3_K), 16,          -4, 3, -32, 31, 0,
                                 false,        take_apart,        put_together};

namespace {

void decode_q3_k(const std::byte* source, float* target, std::size_t values) noexcept {
  decode_super(kSuperQ3_K, source, target, values);
}

// Chosen greedily, the most useful first, on rows of SmolLM2 with measured importance and with
// none, on gaussian and on heavy-tailed rows.
constexpr float kPositions[] = {-4.4F, -7.0F, -3.4F, 5.3F,  -3.9F, -5.3F, 2.9F,
                                4.1F,  6.0F,  2.2F,  -4.1F, -3.6F, -4.8F, -5.9F};
constexpr ScaleGrid kGrid{kPositions, 2};
constexpr auto kScalePositions = positions_at_ends<30>(-32.0F, 31.0F, 0.5F);
constexpr SuperGrid kSuperGrid{kScalePositions, {}, 3};

void encode_q3_k(const float* source, const float* importance, std::byte* target,
                 std::size_t values) noexcept {
  encode_super_symmetric(kSuperQ3_K, kGrid, kSuperGrid, source, importance, target, values);
}

}  // namespace

extern const Format kFormatQ3_K;
const Format kFormatQ3_K{DType::kQ3_K, decode_q3_k, encode_q3_k, true};

}  // namespace paring::quant
