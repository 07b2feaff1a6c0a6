// SPDX-License-Identifier: Apache-2.0
// x ~ scale * code + min: sums over four blocks in lanes, and the search for the best real scale
// and min. Shared by the encoders of blocks (search.cc) and of super-blocks (super_affine.cc).
#pragma once

#include "quant/lanes.h"
#include "quant/levels.h"
#include "quant/search.h"

namespace paring::quant {

// Sums over the residuals r = x - scale * code - min: with an importance that one value dominates,
// the same sums over the values would lose what the other values leave. For the same reason codes
// count from `centre`, the code of the block's weighted mean: what the other codes say of the scale
// would drown in the square of a code far from zero.
struct AffineSums {
  Lanes centre;
  Lanes wrr;  // the error
  Lanes wr;
  Lanes wqr;  // q = code - centre
  Lanes wq;
  Lanes wqq;
};

template <std::size_t N>
AffineSums affine_sums(const LaneGroup<N>& group, Lanes mean, Lanes scale, Lanes min,
                       const EvenLevels& levels) noexcept {
  AffineSums sums{};
  const Lanes inverse = divide_or_zero(spread(1.0F), scale);
  sums.centre = levels.nearest_to((mean - min) * inverse);
  for (std::size_t i = 0; i < N; ++i) {
    const Lanes above = group.x[i] - min;
    const Lanes code = levels.nearest_to(above * inverse);
    const Lanes residual = above - scale * code;
    const Lanes from_centre = code - sums.centre;
    const Lanes weighted = group.weight[i] * from_centre;
    const Lanes pull = group.weight[i] * residual;
    sums.wrr += pull * residual;
    sums.wr += pull;
    sums.wqr += from_centre * pull;
    sums.wq += weighted;
    sums.wqq += weighted * from_centre;
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
  Lanes mean_code;  // weighted, of the codes that gave it
  Lanes wdd;        // weighted square distance of these from their mean
};

// Weighted least squares for scale and min with the codes held.
inline AffineFit fit_affine(const AffineSums& sums, const FixedSums& fixed, Lanes scale, Lanes min,
                            MinSign sign) noexcept {
  const Lanes wdd = sums.wqq - sums.wq * sums.wq / fixed.w;
  // All codes equal, up to rounding: the level at the centre alone can be fitted.
  const LaneMask is_flat = wdd <= spread(1e-6F) * sums.wqq;
  Lanes by_scale = divide_or_zero(sums.wqr - sums.wq * sums.wr / fixed.w, wdd);
  by_scale = is_flat ? spread(0.0F) : by_scale;
  Lanes by_level = (sums.wr - by_scale * sums.wq) / fixed.w;
  if (sign == MinSign::kNotPositive) {
    // At the bound the level at the centre moves with the scale alone.
    const Lanes by_min = by_level - by_scale * sums.centre;
    const LaneMask is_bound = min + by_min > spread(0.0F);
    const Lanes wqq = sums.wqq + sums.centre * (sums.wq + sums.wq + sums.centre * fixed.w);
    const Lanes wqr = sums.wqr + sums.centre * sums.wr;
    const Lanes bound_scale = divide_or_zero(wqr + min * (sums.wq + sums.centre * fixed.w), wqq);
    by_scale = is_bound ? bound_scale : by_scale;
    by_level = is_bound ? bound_scale * sums.centre - min : by_level;
  }
  AffineFit fit{scale + by_scale, min + (by_level - by_scale * sums.centre), sums.wrr,
                sums.centre + sums.wq / fixed.w, wdd};
  fit.error += by_scale * (by_scale * sums.wqq - (sums.wqr + sums.wqr));
  fit.error += by_level * (by_level * fixed.w - (sums.wr + sums.wr));
  fit.error += (by_scale * by_level + by_scale * by_level) * sums.wq;
  return fit;
}

inline void keep_better(AffineFit& best, const AffineFit& fit) noexcept {
  const LaneMask is_better = fit.error < best.error;
  best.scale = is_better ? fit.scale : best.scale;
  best.min = is_better ? fit.min : best.min;
  best.error = is_better ? fit.error : best.error;
  best.mean_code = is_better ? fit.mean_code : best.mean_code;
  best.wdd = is_better ? fit.wdd : best.wdd;
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
  const Lanes mean = fixed.wx / fixed.w;
  best.min = mean;
  if (sign == MinSign::kNotPositive) best.min = smaller(best.min, spread(0.0F));
  best.error = affine_residuals(group, spread(0.0F), best.min, levels);
  const Lanes step = (high - low) / levels.highest;
  for (const AffineGrid::Point& point : grid.points) {
    const Lanes min = smaller(low + step * point.low, sign == MinSign::kAny ? high : spread(0.0F));
    const Lanes scale = ((high - min) - step * point.high) / levels.highest;
    keep_better(best,
                fit_affine(affine_sums(group, mean, scale, min, levels), fixed, scale, min, sign));
  }
  for (const AffineGrid::Point& point : grid.near) {
    const Lanes min =
        smaller(best.min + best.scale * point.low, sign == MinSign::kAny ? high : spread(0.0F));
    const Lanes scale = best.scale - best.scale * (point.low + point.high) / levels.highest;
    keep_better(best,
                fit_affine(affine_sums(group, mean, scale, min, levels), fixed, scale, min, sign));
  }
  for (int turn = 0; turn < grid.turns; ++turn) {
    keep_better(best, fit_affine(affine_sums(group, mean, best.scale, best.min, levels), fixed,
                                 best.scale, best.min, sign));
  }
  return best;
}

}  // namespace paring::quant
