// SPDX-License-Identifier: Apache-2.0
#include "quant/search.h"

#include <algorithm>
#include <cmath>

#include "quant/half.h"

namespace paring::quant {

namespace {
constexpr std::size_t kValues = 32;

void round_codes(const BlockLayout& layout, const float* x, BlockChoice& choice) noexcept {
  const float scale = widen_f16(choice.scale);
  const float min = widen_f16(choice.min);
  const float inverse = scale == 0.0F ? 0.0F : 1.0F / scale;
  for (std::size_t i = 0; i < kValues; ++i) {
    const float code = std::nearbyint((x[i] - min) * inverse);
    choice.codes[i] = static_cast<std::int8_t>(
        std::clamp(code, static_cast<float>(layout.lowest), static_cast<float>(layout.highest)));
  }
}
}  // namespace

void encode_symmetric(const BlockLayout& layout, const float* source, const float* /*importance*/,
                      std::byte* target, std::size_t values) noexcept {
  for (std::size_t b = 0; b < values; b += kValues, target += layout.bytes) {
    float extreme = 0.0F;
    for (std::size_t i = 0; i < kValues; ++i) {
      if (std::fabs(source[b + i]) > std::fabs(extreme)) extreme = source[b + i];
    }
    BlockChoice choice{};
    choice.scale = narrow_f16(extreme / static_cast<float>(layout.lowest));
    round_codes(layout, source + b, choice);
    layout.store(choice, target);
  }
}

void encode_affine(const BlockLayout& layout, const float* source, const float* /*importance*/,
                   std::byte* target, std::size_t values) noexcept {
  for (std::size_t b = 0; b < values; b += kValues, target += layout.bytes) {
    const auto [low, high] = std::minmax_element(source + b, source + b + kValues);
    BlockChoice choice{};
    choice.scale = narrow_f16((*high - *low) / static_cast<float>(layout.highest));
    choice.min = narrow_f16(*low);
    round_codes(layout, source + b, choice);
    layout.store(choice, target);
  }
}

}  // namespace paring::quant
