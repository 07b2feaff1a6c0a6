// SPDX-License-Identifier: Apache-2.0
// x ~ scale * code + min: sums over four blocks in lanes, and the search for the best real scale
// and min. Shared by the encoders of blocks (search.cc) and of super-blocks (super_affine.cc).
#pragma once

#include "quant/lanes.h"
#include "quant/levels.h"
#include "quant/search.h"

namespace paring::quant {

// Sums over the residuals r = x - scale * code - min: with an importance that one value dominates,
// the same sums over the values would lose what the other values leave.
struct AffineSums {
  Lanes wrr;  // the error
  Lanes wr;
  Lanes wqr;
  Lanes wq;
  Lanes wqq;
};

template <std::size_t N>
AffineSums affine_sums(const LaneGroup<N>& group, Lanes scale, Lanes min,
                       const EvenLevels& levels) noexcept {
  AffineSums sums{};
  const Lanes inverse = divide_or_zero(spread(1.0F), scale);
  for (std::size_t i = 0; i < N; ++i) {
    const Lanes above = group.x[i] - min;
    const Lanes code = levels.nearest_to(above * inverse);
    const Lanes residual = above - scale * code;
    const Lanes weighted = group.weight[i] * code;
    const Lanes pull = group.weight[i] * residual;
    sums.wrr += pull * residual;
    sums.wr += pull;
    sums.wqr += code * pull;
    sums.wq += weighted;
    sums.wqq += weighted * code;
  }
  return sums;
}

// Sums that no code changes.
struct FixedSums {
  Lanes w;
  Lanes wx;
};

template <std::size_t N>
FixedSums fixed_sums(const LaneGroup<N>& group) noexcept {
  FixedSums fixed{};
  for (std::size_t i = 0; i < N; ++i) {
    fixed.w += group.weight[i];
    fixed.wx += group.weight[i] * group.x[i];
  }
  return fixed;
}

// Sub-blocks of a super-block can only be lowered: their min is a multiple of one scale.
enum class MinSign { kAny, kNotPositive };

struct AffineFit {
  Lanes scale;
  Lanes min;
  Lanes error;
  Lanes wq;  // of the codes that gave it
  Lanes wqq;
};

// Weighted least squares for scale and min with the codes held.
inline AffineFit fit_affine(const AffineSums& sums, const FixedSums& fixed, Lanes scale, Lanes min,
                            MinSign sign) noexcept {
  const Lanes determinant = fixed.w * sums.wqq - sums.wq * sums.wq;
  // All codes equal, up to rounding: the min alone can be fitted.
  const LaneMask is_flat = determinant <= spread(1e-6F) * fixed.w * sums.wqq;
  Lanes by_scale = divide_or_zero(fixed.w * sums.wqr - sums.wq * sums.wr, determinant);
  by_scale = is_flat ? spread(0.0F) : by_scale;
  Lanes by_min = (sums.wr - by_scale * sums.wq) / fixed.w;
  if (sign == MinSign::kNotPositive) {
    const LaneMask is_bound = min + by_min > spread(0.0F);
    by_min = is_bound ? -min : by_min;
    by_scale = is_bound ? divide_or_zero(sums.wqr - by_min * sums.wq, sums.wqq) : by_scale;
  }
  AffineFit fit{scale + by_scale, min + by_min, sums.wrr, sums.wq, sums.wqq};
  fit.error += by_scale * (by_scale * sums.wqq - (sums.wqr + sums.wqr));
  fit.error += by_min * (by_min * fixed.w - (sums.wr + sums.wr));
  fit.error += (by_scale * by_min + by_scale * by_min) * sums.wq;
  return fit;
}

inline void keep_better(AffineFit& best, const AffineFit& fit) noexcept {
  const LaneMask is_better = fit.error < best.error;
  best.scale = is_better ? fit.scale : best.scale;
  best.min = is_better ? fit.min : best.min;
  best.error = is_better ? fit.error : best.error;
  best.wq = is_better ? fit.wq : best.wq;
  best.wqq = is_better ? fit.wqq : best.wqq;
}

// The error of a scale and min with their best codes, by the residuals themselves.
template <std::size_t N>
Lanes affine_residuals(const LaneGroup<N>& group, Lanes scale, Lanes min,
                       const EvenLevels& levels) noexcept {
  const Lanes inverse = divide_or_zero(spread(1.0F), scale);
  Lanes error{};
  for (std::size_t i = 0; i < N; ++i) {
    const Lanes above = group.x[i] - min;
    const Lanes residual = above - scale * levels.nearest_to(above * inverse);
    error += group.weight[i] * residual * residual;
  }
  return error;
}

template <std::size_t N>
AffineFit search_affine(const LaneGroup<N>& group, const FixedSums& fixed, const EvenLevels& levels,
                        const AffineGrid& grid, MinSign sign) noexcept {
  Lanes low = group.x[0];
  Lanes high = group.x[0];
  for (std::size_t i = 1; i < N; ++i) {
    low = smaller(low, group.x[i]);
    high = larger(high, group.x[i]);
  }
  if (sign == MinSign::kNotPositive) {
    low = smaller(low, spread(0.0F));
    high = larger(high, low);
  }
  // One value for the whole block, to begin with.
  AffineFit best{};
  best.min = fixed.wx / fixed.w;
  if (sign == MinSign::kNotPositive) best.min = smaller(best.min, spread(0.0F));
  best.error = affine_residuals(group, spread(0.0F), best.min, levels);
  const Lanes step = (high - low) / levels.highest;
  for (const AffineGrid::Point& point : grid.points) {
    const Lanes min = smaller(low + step * point.low, sign == MinSign::kAny ? high : spread(0.0F));
    const Lanes scale = ((high - min) - step * point.high) / levels.highest;
    keep_better(best, fit_affine(affine_sums(group, scale, min, levels), fixed, scale, min, sign));
  }
  for (int turn = 0; turn < grid.turns; ++turn) {
    keep_better(best, fit_affine(affine_sums(group, best.scale, best.min, levels), fixed,
                                 best.scale, best.min, sign));
  }
  return best;
}

}  // namespace paring::quant
