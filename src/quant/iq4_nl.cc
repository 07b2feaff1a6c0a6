// SPDX-License-Identifier: Apache-2.0
// IQ4_NL: blocks of 32 codes into 16 uneven levels, an f16 scale; 4.5 bits a weight.
#include <cstring>

#include "quant/blocks.h"
#include "quant/format.h"
#include "quant/half.h"
#include "quant/search.h"

namespace paring::quant {

namespace {

constexpr std::size_t kHalf = kBlockValues / 2;

void decode_iq4_nl(const std::byte* source, float* target, std::size_t values) noexcept {
  const auto* blocks = reinterpret_cast<const BlockIQ4_NL*>(source);
  for (std::size_t b = 0; b < values / kBlockValues; ++b, target += kBlockValues) {
    const BlockIQ4_NL& block = blocks[b];
    const float scale = widen_f16(block.scale);
    for (std::size_t j = 0; j < kHalf; ++j) {
      target[j] = scale * static_cast<float>(kIq4Values[block.nibbles[j] & 0x0f]);
      target[j + kHalf] = scale * static_cast<float>(kIq4Values[block.nibbles[j] >> 4]);
    }
  }
}

void store(const BlockChoice& choice, std::byte* block) noexcept {
  BlockIQ4_NL out;
  out.scale = choice.scale;
  for (std::size_t j = 0; j < kHalf; ++j) {
    const auto low = static_cast<unsigned>(choice.codes[j]);
    const auto high = static_cast<unsigned>(choice.codes[j + kHalf]);
    out.nibbles[j] = static_cast<std::uint8_t>(low | high << 4);
  }
  std::memcpy(block, &out, sizeof(out));
}

constexpr BlockLayout kLayout{0, 15, sizeof(BlockIQ4_NL), store};

// Chosen greedily, the most useful first, on rows of SmolLM2 with measured importance and with
// none, on gaussian and on heavy-tailed rows.
constexpr float kPositions[] = {-131.0F, 117.0F, -107.0F, -153.0F, 137.0F,  -123.0F,
                                93.0F,   -85.0F, 109.0F,  -139.0F, -67.0F,  65.0F,
                                125.0F,  -99.0F, -155.0F, 139.0F,  -117.0F, 83.0F};
constexpr ScaleGrid kGrid{kPositions, 2};

void encode_iq4_nl(const float* source, const float* importance, std::byte* target,
                   std::size_t values) noexcept {
  encode_uneven(kLayout, kGrid, source, importance, target, values);
}

}  // namespace

extern const Format kFormatIQ4_NL;
const Format kFormatIQ4_NL{DType::kIQ4_NL, decode_iq4_nl, encode_iq4_nl, true};

}  // namespace paring::quant
