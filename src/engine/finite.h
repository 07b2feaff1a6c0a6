// SPDX-License-Identifier: Apache-2.0
// Damaged weights show as logits that are no numbers; no token is picked from those.
#pragma once

#include <bit>
#include <cstdint>
#include <span>

namespace paring::engine {

// Whether every value is a number. Integer operations, which the compiler vectorizes.
inline bool are_finite(std::span<const float> values) {
  constexpr std::uint32_t kExponent = 0x7f800000U;  // all ones: infinity or NaN
  std::uint32_t bad = 0;
  for (const float value : values) {
    bad |=
        static_cast<std::uint32_t>((std::bit_cast<std::uint32_t>(value) & kExponent) == kExponent);
  }
  return bad == 0;
}

}  // namespace paring::engine
