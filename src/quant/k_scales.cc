// SPDX-License-Identifier: Apache-2.0
#include "quant/k_scales.h"

namespace paring::quant {

void take_apart_scales(const std::uint8_t* bytes, std::int8_t* scales,
                       std::uint8_t* mins) noexcept {
  for (int j = 0; j < 4; ++j) {
    scales[j] = static_cast<std::int8_t>(bytes[j] & 0x3f);
    mins[j] = bytes[j + 4] & 0x3f;
    scales[j + 4] = static_cast<std::int8_t>((bytes[j + 8] & 0x0f) | bytes[j] >> 6 << 4);
    mins[j + 4] = static_cast<std::uint8_t>(bytes[j + 8] >> 4 | bytes[j + 4] >> 6 << 4);
  }
}

void put_together_scales(const std::int8_t* scales, const std::uint8_t* mins,
                         std::uint8_t* bytes) noexcept {
  for (int j = 0; j < 4; ++j) {
    const auto upper_scale = static_cast<unsigned>(scales[j + 4]);
    const unsigned upper_min = mins[j + 4];
    bytes[j] = static_cast<std::uint8_t>(static_cast<unsigned>(scales[j]) | upper_scale >> 4 << 6);
    bytes[j + 4] = static_cast<std::uint8_t>(mins[j] | upper_min >> 4 << 6);
    bytes[j + 8] = static_cast<std::uint8_t>((upper_scale & 0x0fU) | (upper_min & 0x0fU) << 4);
  }
}

}  // namespace paring::quant
