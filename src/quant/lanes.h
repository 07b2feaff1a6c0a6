// SPDX-License-Identifier: Apache-2.0
// Four blocks (or sub-blocks) side by side, one a lane, for the searches in this module: every step
// of a search is then the same for all lanes and needs no sum across them. Baseline vector code by
// the compilers' vector extension; no fast-math, so that results do not depend on the compiler.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "quant/blocks.h"
#include "quant/half.h"

namespace paring::quant {

inline constexpr std::size_t kLanes = 4;
using Lanes = float __attribute__((vector_size(16)));
using LaneMask = std::int32_t __attribute__((vector_size(16)));  // each lane 0 or -1
using LaneInts = LaneMask;

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

// Four blocks of N values, scaled by powers of two so that the largest magnitude of each block (of
// each super-block, where its sub-blocks are in the lanes) lies in [1, 2): squares neither overflow
// nor vanish, and scaling is exact. Weights are scaled to a maximum of 1.
template <std::size_t N>
struct LaneGroup {
  static constexpr std::size_t kValues = N;
  Lanes x[N];
  Lanes weight[N];
  Lanes unit;     // a value of the file is x * unit
  Lanes inverse;  // 1 / unit
};
using BlockGroup = LaneGroup<kBlockValues>;

// The power of two at or below |extreme|, kept within what has a finite inverse.
inline float unit_of(float extreme) noexcept {
  std::uint32_t exponent = std::bit_cast<std::uint32_t>(extreme) & 0x7f800000U;
  exponent = exponent < 0x00800000U ? 0x00800000U : exponent;
  exponent = exponent > 0x7e000000U ? 0x7e000000U : exponent;
  return std::bit_cast<float>(exponent);
}

// Weight of a value. With an importance it is just that: the error then estimates what the layer's
// output loses. (ggml multiplies by sqrt(floor + x^2) as well: SmolLM2-135M in Q4_0 then had a KL
// divergence of 0.193, against 0.183 without.) Without importance, errors of large values count
// more: 0.286 in the same test, against 0.295 for equal weights and 0.319 for x^2. `floor` is the
// mean square of the row.
inline float weight_of(float value, const float* importance, float floor) noexcept {
  return importance != nullptr ? *importance : std::sqrt(floor + value * value);
}

inline float mean_square(const float* source, std::size_t values) noexcept {
  double sum = 0.0;
  for (std::size_t i = 0; i < values; ++i) sum += double{source[i]} * double{source[i]};
  return static_cast<float>(sum / static_cast<double>(values));
}

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
