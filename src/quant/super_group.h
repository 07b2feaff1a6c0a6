// SPDX-License-Identifier: Apache-2.0
// One super-block with its sub-blocks side by side in lanes, for the searches in this module.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "quant/half.h"
#include "quant/lanes.h"

namespace paring::quant {

// Sub-block j lies in lane j % kLanes of group j / kLanes. All share one unit and one scale of the
// weights, so that errors can be added over the lanes.
template <std::size_t N>
struct SuperGroups {
  static constexpr std::size_t kCount = kSuperValues / N / kLanes;
  LaneGroup<N> groups[kCount];
  float unit;
  float inverse;
};

template <std::size_t N>
void load_super(SuperGroups<N>& super, const float* source, const float* importance,
                float floor) noexcept {
  // A sub-block that does not matter at all is still given the codes that suit it best.
  constexpr float kWeightOfNone = 1e-9F;
  float extreme = 0.0F;
  float weight_max = 0.0F;
  float weights[kSuperValues];
  for (std::size_t i = 0; i < kSuperValues; ++i) {
    weights[i] = weight_of(source[i], importance == nullptr ? nullptr : importance + i, floor);
    weight_max = std::max(weight_max, weights[i]);
    extreme = std::max(extreme, std::fabs(source[i]));
  }
  super.unit = unit_of(extreme);
  super.inverse = 1.0F / super.unit;
  const bool is_weighted = weight_max > 0.0F && weight_max <= 3.4e38F;
  for (std::size_t j = 0; j < kSuperValues / N; ++j) {
    LaneGroup<N>& group = super.groups[j / kLanes];
    const std::size_t lane = j % kLanes;
    group.unit[lane] = super.unit;
    group.inverse[lane] = super.inverse;
    const float* x = source + j * N;
    float* w = weights + j * N;
    float total = 0.0F;
    for (std::size_t i = 0; i < N; ++i) {
      w[i] = is_weighted ? w[i] / weight_max : 1.0F;
      total += w[i];
    }
    for (std::size_t i = 0; i < N; ++i) {
      group.x[i][lane] = x[i] * super.inverse;
      group.weight[i][lane] = total > 0.0F ? w[i] : kWeightOfNone;
    }
  }
}

// An f16 value, and what it is in units of the super-block.
struct HalfScale {
  std::uint16_t half = 0;
  float value = 0.0F;
};

template <std::size_t N>
HalfScale to_half(const SuperGroups<N>& super, float scaled) noexcept {
  std::uint16_t half = narrow_f16(scaled * super.unit);
  if ((half & 0x7fff) > 0x7bff) half = static_cast<std::uint16_t>((half & 0x8000) | 0x7bff);
  return {half, widen_f16(half) * super.inverse};
}

// A choice of f16 scales, and what the fits of the sub-blocks lose by becoming integers under it,
// to second order.
struct ScaleCandidate {
  HalfScale scale;
  HalfScale min_scale;  // zero in types without mins
  float loss = 3.4e38F;
};

// Keeps the candidates of least loss, least first.
template <std::size_t kCount>
void keep_least(ScaleCandidate (&kept)[kCount], const ScaleCandidate& candidate) noexcept {
  if (!(candidate.loss < kept[kCount - 1].loss)) return;
  std::size_t at = kCount - 1;
  for (; at > 0 && candidate.loss < kept[at - 1].loss; --at) kept[at] = kept[at - 1];
  kept[at] = candidate;
}

inline float sum_of(Lanes lanes) noexcept { return (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]); }

}  // namespace paring::quant
