// SPDX-License-Identifier: Apache-2.0
#include "quant/super_block.h"

#include "quant/half.h"

namespace paring::quant {

extern const SuperLayout kSuperQ2_K;
extern const SuperLayout kSuperQ3_K;
extern const SuperLayout kSuperQ4_K;
extern const SuperLayout kSuperQ5_K;
extern const SuperLayout kSuperQ6_K;
extern const SuperLayout kSuperIQ4_XS;

const SuperLayout* find_super_layout(DType type) noexcept {
  for (const SuperLayout* layout :
       {&kSuperQ2_K, &kSuperQ3_K, &kSuperQ4_K, &kSuperQ5_K, &kSuperQ6_K, &kSuperIQ4_XS}) {
    if (layout->type == type) return layout;
  }
  return nullptr;
}

void decode_super(const SuperLayout& layout, const std::byte* source, float* target,
                  std::size_t values) noexcept {
  SuperBlock parts;
  for (std::size_t b = 0; b < values / kSuperValues; ++b, source += layout.bytes) {
    layout.take_apart(source, parts);
    if (layout.is_codebook) {
      for (std::int8_t& code : parts.codes) code = kIq4Values[code];
    }
    const float scale = widen_f16(parts.scale);
    const float min_scale = widen_f16(parts.min_scale);
    for (std::size_t j = 0; j < layout.sub_blocks(); ++j) {
      const float sub_scale = scale * static_cast<float>(parts.sub_scales[j]);
      const float sub_min = min_scale * static_cast<float>(parts.sub_mins[j]);
      const std::int8_t* codes = parts.codes + j * layout.sub_values;
      if (layout.sub_min_highest == 0) {
        for (std::size_t i = 0; i < layout.sub_values; ++i) {
          target[i] = sub_scale * static_cast<float>(codes[i]);
        }
      } else {
        for (std::size_t i = 0; i < layout.sub_values; ++i) {
          target[i] = sub_scale * static_cast<float>(codes[i]) - sub_min;
        }
      }
      target += layout.sub_values;
    }
  }
}

}  // namespace paring::quant
