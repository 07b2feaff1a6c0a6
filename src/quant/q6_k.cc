// SPDX-License-Identifier: Apache-2.0
// Q6_K: super-blocks of 256, 16 sub-blocks with 8-bit scale, 6-bit codes; 6.5625 bits a weight.
#include <cstring>

#include "quant/format.h"
#include "quant/super_block.h"
#include "quant/super_search.h"

namespace paring::quant {

namespace {

void take_apart(const std::byte* bytes, SuperBlock& parts) noexcept {
  BlockQ6_K block;
  std::memcpy(&block, bytes, sizeof(block));
  parts.scale = block.scale;
  parts.min_scale = 0;
  std::memcpy(parts.sub_scales, block.scales, sizeof(block.scales));
  std::memset(parts.sub_mins, 0, sizeof(parts.sub_mins));
  for (std::size_t run = 0; run < 8; ++run) {
    const std::uint8_t* nibbles = block.nibbles + run / 4 * 64 + run % 2 * 32;
    const std::uint8_t* high_pairs = block.high_pairs + run / 4 * 32;
    const std::size_t shift = run % 4 / 2 * 4;
    for (std::size_t l = 0; l < 32; ++l) {
      const int low = nibbles[l] >> shift & 0x0f;
      const int high = high_pairs[l] >> (2 * (run % 4)) & 3;
      parts.codes[run * 32 + l] = static_cast<std::int8_t>((low | high << 4) - 32);
    }
  }
}

void put_together(const SuperBlock& parts, std::byte* bytes) noexcept {
  BlockQ6_K block{};
  block.scale = parts.scale;
  std::memcpy(block.scales, parts.sub_scales, sizeof(block.scales));
  for (std::size_t run = 0; run < 8; ++run) {
    std::uint8_t* nibbles = block.nibbles + run / 4 * 64 + run % 2 * 32;
    std::uint8_t* high_pairs = block.high_pairs + run / 4 * 32;
    const std::size_t shift = run % 4 / 2 * 4;
    for (std::size_t l = 0; l < 32; ++l) {
      const auto code = static_cast<unsigned>(parts.codes[run * 32 + l] + 32);
      nibbles[l] = static_cast<std::uint8_t>(nibbles[l] | (code & 0x0fU) << shift);
      high_pairs[l] = static_cast<std::uint8_t>(high_pairs[l] | code >> 4 << (2 * (run % 4)));
    }
  }
  std::memcpy(bytes, &block, sizeof(block));
}

}  // namespace

extern const SuperLayout kSuperQ6_K;
constexpr SuperLayout kSuperQ6_K{DType::kQ6_K, sizeof(BlockQ6_K), 16, -32, 31, -128, 127, 0, false,
                                 take_apart,   put_together};

namespace {

void decode_q6_k(const std::byte* source, float* target, std::size_t values) noexcept {
  decode_super(kSuperQ6_K, source, target, values);
}

// Chosen greedily, the most useful first, on rows of SmolLM2 with measured importance and with
// none, on gaussian and on heavy-tailed rows.
constexpr float kPositions[] = {-32.0F, 30.0F,  -28.0F, -31.0F, 25.4F,  29.0F, -26.8F, -23.4F,
                                -33.2F, 21.0F,  -26.0F, 24.4F,  -35.0F, 18.6F, -22.2F, -32.4F,
                                -20.0F, -31.6F, -30.6F, -27.4F, -34.2F, 31.4F};
constexpr ScaleGrid kGrid{kPositions, 2};
constexpr auto kScalePositions = positions_at_ends<24>(-128.0F, 127.0F, 1.0F);
constexpr SuperGrid kSuperGrid{kScalePositions, {}, 3};

void encode_q6_k(const float* source, const float* importance, std::byte* target,
                 std::size_t values) noexcept {
  encode_super_symmetric(kSuperQ6_K, kGrid, kSuperGrid, source, importance, target, values);
}

}  // namespace

extern const Format kFormatQ6_K;
const Format kFormatQ6_K{DType::kQ6_K, decode_q6_k, encode_q6_k, true};

}  // namespace paring::quant
