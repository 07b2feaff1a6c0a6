// SPDX-License-Identifier: Apache-2.0
// x ~ scale * level: sums over four blocks in lanes, and the search for the best real scale. Shared
// by the encoders of blocks (search.cc) and of super-blocks (super_symmetric.cc).
#pragma once

#include <span>

#include "quant/lanes.h"

namespace paring::quant {

// Sums over the residuals r = x - scale * level: the same quantities by the values themselves would
// lose an 8-bit format's error in rounding.
struct SymmetricSums {
  Lanes wrr;  // the error
  Lanes wqr;
  Lanes wqq;
};

template <std::size_t N, class Levels>
SymmetricSums symmetric_sums(const LaneGroup<N>& group, Lanes scale, Lanes inverse_scale,
                             const Levels& levels) noexcept {
  SymmetricSums sums{};
  for (std::size_t i = 0; i < N; ++i) {
    const Lanes level = levels.nearest_to(group.x[i] * inverse_scale);
    const Lanes residual = group.x[i] - scale * level;
    const Lanes weighted = group.weight[i] * level;
    sums.wrr += group.weight[i] * residual * residual;
    sums.wqr += weighted * residual;
    sums.wqq += weighted * level;
  }
  return sums;
}

template <std::size_t N, class Levels>
Lanes symmetric_error(const LaneGroup<N>& group, Lanes scale, const Levels& levels) noexcept {
  const Lanes inverse_scale = divide_or_zero(spread(1.0F), scale);
  Lanes error{};
  for (std::size_t i = 0; i < N; ++i) {
    const Lanes residual = group.x[i] - scale * levels.nearest_to(group.x[i] * inverse_scale);
    error += group.weight[i] * residual * residual;
  }
  return error;
}

// The best real scale of each lane: the value of largest magnitude is put on each of `positions`,
// in levels, then codes and scale are improved in `turns`.
struct SymmetricFit {
  Lanes scale;
  Lanes error;
  Lanes wqq;  // error gained by leaving the scale with the codes held: wqq *
              // change^2
};

template <std::size_t N, class Levels>
SymmetricFit search_scale(const LaneGroup<N>& group, const Levels& levels,
                          std::span<const float> positions, int turns) noexcept {
  Lanes extreme{};  // signed
  for (std::size_t i = 0; i < N; ++i) {
    const LaneMask is_larger = magnitude(group.x[i]) > magnitude(extreme);
    extreme = is_larger ? group.x[i] : extreme;
  }
  SymmetricFit best{spread(0.0F), spread(3.4e38F), spread(0.0F)};
  // Best real scale for the codes of a trial, and the error that it leaves.
  const auto improve = [&](Lanes scale, Lanes inverse_scale) {
    const SymmetricSums sums = symmetric_sums(group, scale, inverse_scale, levels);
    const Lanes change = divide_or_zero(sums.wqr, sums.wqq);
    const Lanes error = sums.wrr - change * sums.wqr;
    const LaneMask is_better = error < best.error;
    best.error = is_better ? error : best.error;
    best.scale = is_better ? scale + change : best.scale;
    best.wqq = is_better ? sums.wqq : best.wqq;
  };
  const Lanes per_extreme = divide_or_zero(spread(1.0F), extreme);
  for (const float position : positions) {
    improve(extreme * (1.0F / position), per_extreme * position);
  }
  for (int turn = 0; turn < turns; ++turn) {
    improve(best.scale, divide_or_zero(spread(1.0F), best.scale));
  }
  return best;
}

}  // namespace paring::quant
