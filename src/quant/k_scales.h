// SPDX-License-Identifier: Apache-2.0
// The twelve bytes of 6-bit scales and mins that Q4_K and Q5_K share (see quant/blocks.h).
#pragma once

#include <cstdint>

namespace paring::quant {

void take_apart_scales(const std::uint8_t* bytes, std::int8_t* scales, std::uint8_t* mins) noexcept;
// REQUIRES: all within 0..63.
void put_together_scales(const std::int8_t* scales, const std::uint8_t* mins,
                         std::uint8_t* bytes) noexcept;

}  // namespace paring::quant
