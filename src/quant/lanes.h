// SPDX-License-Identifier: Apache-2.0
// Four blocks of 32 values side by side, one a lane, for the searches in this module: every step of
// a search is then the same for all lanes and needs no sum across them. Baseline vector code by the
// compilers' vector extension; no fast-math, so that results do not depend on the compiler.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "quant/blocks.h"
#include "quant/half.h"

namespace paring::quant {

inline constexpr std::size_t kLanes = 4;
using Lanes = float __attribute__((vector_size(16)));
using LaneMask = std::int32_t __attribute__((vector_size(16)));  // each lane 0 or -1

inline Lanes spread(float value) noexcept { return Lanes{value, value, value, value}; }
inline Lanes smaller(Lanes a, Lanes b) noexcept { return a < b ? a : b; }
inline Lanes larger(Lanes a, Lanes b) noexcept { return a > b ? a : b; }
inline Lanes magnitude(Lanes a) noexcept { return larger(a, -a); }
// Nearest, ties to even, for |a| < 2^22: the sum has no bits left for a fraction.
inline Lanes nearest(Lanes a) noexcept {
  constexpr float kRound = 0x1.8p23F;
  return (a + kRound) - kRound;
}
// a / b, and 0 where b is 0.
inline Lanes divide_or_zero(Lanes a, Lanes b) noexcept {
  const LaneMask is_zero = b == spread(0.0F);
  const Lanes quotient = a / (is_zero ? spread(1.0F) : b);
  return is_zero ? spread(0.0F) : quotient;
}

// Four blocks, scaled by powers of two so that the largest magnitude of each lies in [1, 2):
// squares neither overflow nor vanish, and scaling is exact. Weights are scaled to a maximum of 1.
struct BlockGroup {
  Lanes x[kBlockValues];
  Lanes weight[kBlockValues];
  Lanes unit;     // a value of the file is x * unit
  Lanes inverse;  // 1 / unit
};

// f16 nearest to scaled * unit, `steps` representable values further from zero (or nearer, when
// negative), as f16 bits in `half` and scaled back as the result. Stays finite.
inline Lanes to_half_steps(const BlockGroup& group, Lanes scaled, int steps,
                           std::uint16_t* half) noexcept {
  const Lanes value = scaled * group.unit;
  Lanes back{};
  for (std::size_t lane = 0; lane < kLanes; ++lane) {
    const std::uint16_t bits = narrow_f16(value[lane]);
    int size = (bits & 0x7fff) + steps;
    size = size < 0 ? 0 : size;
    size = size > 0x7bff ? 0x7bff : size;
    half[lane] = static_cast<std::uint16_t>((bits & 0x8000) | size);
    back[lane] = widen_f16(half[lane]);
  }
  return back * group.inverse;
}

}  // namespace paring::quant
