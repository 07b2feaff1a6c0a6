// SPDX-License-Identifier: Apache-2.0
// IQ4_NL: blocks of 32 codes into 16 uneven levels, an f16 scale; 4.5 bits a weight.
#include "quant/blocks.h"
#include "quant/format.h"
#include "quant/half.h"

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

}  // namespace

extern const Format kFormatIQ4_NL;
const Format kFormatIQ4_NL{DType::kIQ4_NL, decode_iq4_nl, nullptr, true};

}  // namespace paring::quant
