// SPDX-License-Identifier: Apache-2.0
// Q8_0: blocks of 32 signed bytes and one f16 scale; 8.5 bits a weight.
#include <cstring>

#include "quant/blocks.h"
#include "quant/format.h"
#include "quant/half.h"
#include "quant/search.h"

namespace paring::quant {

namespace {

void decode_q8_0(const std::byte* source, float* target, std::size_t values) noexcept {
  const auto* blocks = reinterpret_cast<const BlockQ8_0*>(source);
  for (std::size_t b = 0; b < values / kBlockValues; ++b, target += kBlockValues) {
    const float scale = widen_f16(blocks[b].scale);
    for (std::size_t i = 0; i < kBlockValues; ++i) {
      target[i] = scale * static_cast<float>(blocks[b].codes[i]);
    }
  }
}

void store(const BlockChoice& choice, std::byte* block) noexcept {
  BlockQ8_0 out;
  out.scale = choice.scale;
  std::memcpy(out.codes, choice.codes, kBlockValues);
  std::memcpy(block, &out, sizeof(out));
}

// -128 is left out: kernels may then negate codes freely.
constexpr BlockLayout kLayout{-127, 127, sizeof(BlockQ8_0), store};

// Chosen greedily, the most useful first, on SmolLM2 rows with measured importance and with none. A
// maximum well below 127 can pay: the grid then fits the values that matter.
constexpr float kPositions[] = {127.0F, 123.0F, 118.0F, 125.0F, 113.0F, 121.0F, 126.0F,
                                100.5F, 124.0F, 119.5F, 116.0F, 122.0F, 107.5F, 115.0F,
                                110.5F, 93.5F,  117.0F, 104.5F, 127.5F, 119.0F, 111.5F,
                                114.0F, 109.0F, 120.0F, 89.5F,  106.0F, 102.5F, 97.5F};
constexpr ScaleGrid kGrid{kPositions, 2};

void encode_q8_0(const float* source, const float* importance, std::byte* target,
                 std::size_t values) noexcept {
  encode_symmetric(kLayout, kGrid, source, importance, target, values);
}

}  // namespace

extern const Format kFormatQ8_0;
const Format kFormatQ8_0{DType::kQ8_0, decode_q8_0, encode_q8_0, true};

}  // namespace paring::quant
