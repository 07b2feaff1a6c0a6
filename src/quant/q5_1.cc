// SPDX-License-Identifier: Apache-2.0
// Q5_1: blocks of 32 unsigned 5-bit codes, an f16 scale and an f16 min; 6 bits a weight.
#include <cstring>

#include "quant/blocks.h"
#include "quant/format.h"
#include "quant/half.h"
#include "quant/search.h"

namespace paring::quant {

namespace {

constexpr std::size_t kHalf = kBlockValues / 2;

void decode_q5_1(const std::byte* source, float* target, std::size_t values) noexcept {
  const auto* blocks = reinterpret_cast<const BlockQ5_1*>(source);
  for (std::size_t b = 0; b < values / kBlockValues; ++b, target += kBlockValues) {
    const BlockQ5_1& block = blocks[b];
    const float scale = widen_f16(block.scale);
    const float min = widen_f16(block.min);
    std::uint32_t fifth = 0;  // bit i belongs to value i
    std::memcpy(&fifth, block.high_bits, sizeof(fifth));
    for (std::size_t j = 0; j < kHalf; ++j) {
      const int low_fifth = static_cast<int>(fifth >> j & 1U) << 4;
      const int high_fifth = static_cast<int>(fifth >> (j + kHalf) & 1U) << 4;
      const int low = ((block.nibbles[j] & 0x0f) | low_fifth);
      const int high = ((block.nibbles[j] >> 4) | high_fifth);
      target[j] = scale * static_cast<float>(low) + min;
      target[j + kHalf] = scale * static_cast<float>(high) + min;
    }
  }
}

void store(const BlockChoice& choice, std::byte* block) noexcept {
  BlockQ5_1 out;
  out.scale = choice.scale;
  out.min = choice.min;
  std::uint32_t fifth = 0;
  for (std::size_t j = 0; j < kHalf; ++j) {
    const auto low = static_cast<unsigned>(choice.codes[j]);
    const auto high = static_cast<unsigned>(choice.codes[j + kHalf]);
    out.nibbles[j] = static_cast<std::uint8_t>((low & 0x0fU) | (high & 0x0fU) << 4);
    fifth |= (low >> 4) << j | (high >> 4) << (j + kHalf);
  }
  std::memcpy(out.high_bits, &fifth, sizeof(fifth));
  std::memcpy(block, &out, sizeof(out));
}

constexpr BlockLayout kLayout{0, 31, sizeof(BlockQ5_1), store};

// Chosen greedily, the most useful first, on rows of SmolLM2 with measured importance and with
// none, on gaussian and on heavy-tailed rows.
constexpr AffineGrid::Point kPoints[] = {
    {0.00F, 0.00F},   {-1.20F, 0.00F},  {0.00F, -1.80F}, {0.00F, 0.60F},   {0.60F, 0.00F},
    {-1.20F, -2.40F}, {-2.40F, -2.40F}, {-0.60F, 0.00F}, {0.00F, -2.40F},  {-3.00F, -1.80F},
    {0.60F, 1.80F},   {1.20F, 0.00F},   {0.60F, 0.60F},  {-3.00F, -3.00F}, {2.40F, 0.00F},
    {0.00F, 2.40F},   {0.00F, -0.60F},  {0.00F, -3.00F}, {0.00F, 1.20F},   {0.00F, -1.20F},
    {1.80F, 0.60F},   {-1.80F, -1.20F}, {1.20F, 1.20F},  {-3.00F, -2.40F}, {3.60F, 0.00F},
    {0.60F, 3.60F}};
constexpr AffineGrid kGrid{kPoints, 3, kNearAffine};

void encode_q5_1(const float* source, const float* importance, std::byte* target,
                 std::size_t values) noexcept {
  encode_affine(kLayout, kGrid, source, importance, target, values);
}

}  // namespace

extern const Format kFormatQ5_1;
const Format kFormatQ5_1{DType::kQ5_1, decode_q5_1, encode_q5_1, true};

}  // namespace paring::quant
