// SPDX-License-Identifier: Apache-2.0
#include "quant/affine.h"
#include "quant/levels.h"
#include "quant/super_group.h"
#include "quant/super_search.h"

namespace paring::quant {

namespace {

template <std::size_t N>
class AffineSearch {
 public:
  AffineSearch(const SuperLayout& layout, const AffineGrid& grid, const SuperGrid& super_grid)
      : grid_(grid),
        super_grid_(super_grid),
        levels_{spread(static_cast<float>(layout.lowest)),
                spread(static_cast<float>(layout.highest))},
        scale_highest_(spread(static_cast<float>(layout.sub_scale_highest))),
        min_highest_(spread(static_cast<float>(layout.sub_min_highest))) {}

  void encode(const float* source, const float* importance, float floor,
              SuperBlock& parts) noexcept {
    load_super(super_, source, importance, floor);
    for (std::size_t g = 0; g < kGroups; ++g) {
      fixed_[g] = fixed_sums(super_.groups[g]);
      fits_[g] = search_affine(super_.groups[g], fixed_[g], levels_, grid_, MinSign::kNotPositive);
    }
    Candidate candidates[kTrials];
    choose_scales(candidates);
    Trial best = trial_of(candidates[0]);
    settle(best);
    for (std::size_t c = 1; c < kTrials; ++c) {
      Trial trial = trial_of(candidates[c]);
      settle(trial);
      if (trial.error() < best.error()) best = trial;
    }
    store(best, parts);
  }

 private:
  static constexpr std::size_t kGroups = SuperGroups<N>::kCount;
  using Candidate = ScaleCandidate;
  static constexpr std::size_t kTrials = 2;      // settled
  static constexpr std::size_t kScalesKept = 6;  // tried with each scale of the mins

  struct Trial {
    HalfScale scale;
    HalfScale min_scale;
    Lanes scales[kGroups];  // integers
    Lanes mins[kGroups];
    Lanes errors[kGroups];
    float error() const noexcept {
      float total = 0.0F;
      for (const Lanes& lanes : errors) total += sum_of(lanes);
      return total;
    }
  };

  static Lanes to_integers(Lanes value, float unit, Lanes highest) noexcept {
    return nearest(smaller(larger(divide_or_zero(value, spread(unit)), spread(0.0F)), highest));
  }

  static float extreme_of(const Lanes (&values)[kGroups]) noexcept {
    float extreme = 0.0F;
    for (const Lanes& lanes : values) {
      for (std::size_t lane = 0; lane < kLanes; ++lane) extreme = std::max(extreme, lanes[lane]);
    }
    return extreme;
  }

  // The mins that suit the sub-blocks once their scales are integers: each follows its scale.
  void mins_under(HalfScale scale, Lanes (&mins)[kGroups]) const noexcept {
    for (std::size_t g = 0; g < kGroups; ++g) {
      const AffineFit& fit = fits_[g];
      const Lanes change =
          to_integers(fit.scale, scale.value, scale_highest_) * scale.value - fit.scale;
      mins[g] = larger(change * fit.mean_code - fit.min, spread(0.0F));
    }
  }

  // Scales are ranked with the mins free to follow; the best of them with each scale of the mins.
  void choose_scales(Candidate (&best)[kTrials]) const noexcept {
    Lanes scales[kGroups];
    for (std::size_t g = 0; g < kGroups; ++g) scales[g] = fits_[g].scale;
    Candidate by_scale[kScalesKept];
    const float extreme = extreme_of(scales);
    for (const float position : super_grid_.scale_positions) {
      Candidate candidate{to_half(super_, extreme / position), {}, 0.0F};
      Lanes loss{};
      for (std::size_t g = 0; g < kGroups; ++g) {
        const AffineFit& fit = fits_[g];
        const float unit = candidate.scale.value;
        const Lanes miss = fit.scale - to_integers(fit.scale, unit, scale_highest_) * unit;
        loss += fit.wdd * miss * miss;
      }
      candidate.loss = sum_of(loss);
      keep_least(by_scale, candidate);
    }
    for (const Candidate& scale : by_scale) {
      Lanes mins[kGroups];
      mins_under(scale.scale, mins);
      const float extreme_min = extreme_of(mins);
      for (const float position : super_grid_.min_positions) {
        Candidate candidate{scale.scale, to_half(super_, extreme_min / position), 0.0F};
        Lanes loss{};
        for (std::size_t g = 0; g < kGroups; ++g) {
          const float unit = candidate.min_scale.value;
          const Lanes miss = mins[g] - to_integers(mins[g], unit, min_highest_) * unit;
          loss += fixed_[g].w * miss * miss;
        }
        candidate.loss = scale.loss + sum_of(loss);
        keep_least(best, candidate);
      }
    }
  }

  Lanes error_of(std::size_t g, const Trial& trial, Lanes scales, Lanes mins) const noexcept {
    return affine_residuals(super_.groups[g], scales * trial.scale.value,
                            -(mins * trial.min_scale.value), levels_);
  }

  Trial trial_of(const Candidate& candidate) const noexcept {
    Trial trial{candidate.scale, candidate.min_scale, {}, {}, {}};
    Lanes mins[kGroups];
    mins_under(candidate.scale, mins);
    for (std::size_t g = 0; g < kGroups; ++g) {
      trial.scales[g] = to_integers(fits_[g].scale, trial.scale.value, scale_highest_);
      trial.mins[g] = to_integers(mins[g], trial.min_scale.value, min_highest_);
      trial.errors[g] = error_of(g, trial, trial.scales[g], trial.mins[g]);
    }
    return trial;
  }

  // Sums over the residuals r = x - scale * code + min with the codes that fit best.
  struct Sums {
    Lanes wr, wq, wqr, wqq;
  };

  Sums sums_of(std::size_t g, const Trial& trial) const noexcept {
    const LaneGroup<N>& group = super_.groups[g];
    const Lanes scale = trial.scales[g] * trial.scale.value;
    const Lanes min = trial.mins[g] * trial.min_scale.value;
    const Lanes inverse = divide_or_zero(spread(1.0F), scale);
    Sums sums{};
    for (std::size_t i = 0; i < N; ++i) {
      const Lanes above = group.x[i] + min;
      const Lanes code = levels_.nearest_to(above * inverse);
      const Lanes residual = above - scale * code;
      const Lanes weighted = group.weight[i] * code;
      sums.wr += group.weight[i] * residual;
      sums.wq += weighted;
      sums.wqr += weighted * residual;
      sums.wqq += weighted * code;
    }
    return sums;
  }

  void keep_better(Trial& trial, std::size_t g, Lanes scales, Lanes mins) const noexcept {
    const Lanes errors = error_of(g, trial, scales, mins);
    const LaneMask is_better = errors < trial.errors[g];
    trial.scales[g] = is_better ? scales : trial.scales[g];
    trial.mins[g] = is_better ? mins : trial.mins[g];
    trial.errors[g] = is_better ? errors : trial.errors[g];
  }

  // Neighbours of each pair of integers, with the codes that fit them. When the scale moves, the
  // min takes the integer that suits it best with the codes held.
  void step_integers(Trial& trial) const noexcept {
    for (std::size_t g = 0; g < kGroups; ++g) {
      const Sums sums = sums_of(g, trial);
      const Lanes scales = trial.scales[g];
      const Lanes min = trial.mins[g] * trial.min_scale.value;
      for (const float step : {1.0F, -1.0F}) {
        const Lanes moved = smaller(larger(scales + step, spread(0.0F)), scale_highest_);
        const Lanes change = (moved - scales) * trial.scale.value;
        const Lanes wanted = min + (change * sums.wq - sums.wr) / fixed_[g].w;
        keep_better(trial, g, moved, to_integers(wanted, trial.min_scale.value, min_highest_));
      }
      for (const float step : {1.0F, -1.0F}) {
        keep_better(trial, g, trial.scales[g],
                    smaller(larger(trial.mins[g] + step, spread(0.0F)), min_highest_));
      }
    }
  }

  // Least squares for both f16 scales with integers and codes held; codes then follow. False when
  // nothing was gained.
  bool step_scales(Trial& trial) const noexcept {
    Lanes ss{}, sm{}, mm{}, sr{}, mr{};
    for (std::size_t g = 0; g < kGroups; ++g) {
      const Sums sums = sums_of(g, trial);
      ss += trial.scales[g] * trial.scales[g] * sums.wqq;
      sm += trial.scales[g] * trial.mins[g] * sums.wq;
      mm += trial.mins[g] * trial.mins[g] * fixed_[g].w;
      sr += trial.scales[g] * sums.wqr;
      mr += trial.mins[g] * sums.wr;
    }
    const double a = sum_of(ss), b = sum_of(sm), c = sum_of(mm);
    const double p = sum_of(sr), q = sum_of(mr);
    const double determinant = a * c - b * b;
    double by_scale = a > 0.0 ? p / a : 0.0;
    double by_min = 0.0;
    if (determinant > 1e-9 * a * c) {
      by_scale = (c * p - b * q) / determinant;
      by_min = (b * p - a * q) / determinant;
    }
    Trial next = trial;
    next.scale = to_half(super_, trial.scale.value + static_cast<float>(by_scale));
    next.min_scale = to_half(super_, trial.min_scale.value + static_cast<float>(by_min));
    if (next.scale.half == trial.scale.half && next.min_scale.half == trial.min_scale.half) {
      return false;
    }
    for (std::size_t g = 0; g < kGroups; ++g) {
      next.errors[g] = error_of(g, next, next.scales[g], next.mins[g]);
    }
    if (!(next.error() < trial.error())) return false;
    trial = next;
    return true;
  }

  void settle(Trial& trial) const noexcept {
    for (int turn = 0; turn < super_grid_.turns; ++turn) {
      step_integers(trial);
      if (!step_scales(trial)) return;
    }
  }

  void store(const Trial& trial, SuperBlock& parts) const noexcept {
    parts.scale = trial.scale.half;
    parts.min_scale = trial.min_scale.half;
    for (std::size_t g = 0; g < kGroups; ++g) {
      const Lanes inverse = divide_or_zero(spread(1.0F), trial.scales[g] * trial.scale.value);
      const Lanes min = trial.mins[g] * trial.min_scale.value;
      for (std::size_t lane = 0; lane < kLanes; ++lane) {
        const std::size_t j = g * kLanes + lane;
        parts.sub_scales[j] = static_cast<std::int8_t>(trial.scales[g][lane]);
        parts.sub_mins[j] = static_cast<std::uint8_t>(trial.mins[g][lane]);
      }
      for (std::size_t i = 0; i < N; ++i) {
        const LaneInts codes = levels_.code_of((super_.groups[g].x[i] + min) * inverse);
        for (std::size_t lane = 0; lane < kLanes; ++lane) {
          parts.codes[(g * kLanes + lane) * N + i] = static_cast<std::int8_t>(codes[lane]);
        }
      }
    }
  }

  const AffineGrid& grid_;
  const SuperGrid& super_grid_;
  const EvenLevels levels_;
  const Lanes scale_highest_;
  const Lanes min_highest_;
  SuperGroups<N> super_;
  FixedSums fixed_[kGroups];
  AffineFit fits_[kGroups];
};

template <std::size_t N>
void encode_rows(const SuperLayout& layout, const AffineGrid& grid, const SuperGrid& super,
                 const float* source, const float* importance, std::byte* target,
                 std::size_t values) noexcept {
  const float floor = mean_square(source, values);
  AffineSearch<N> search(layout, grid, super);
  SuperBlock parts{};
  for (std::size_t at = 0; at < values; at += kSuperValues, target += layout.bytes) {
    search.encode(source + at, importance == nullptr ? nullptr : importance + at, floor, parts);
    layout.put_together(parts, target);
  }
}

}  // namespace

void encode_super_affine(const SuperLayout& layout, const AffineGrid& grid, const SuperGrid& super,
                         const float* source, const float* importance, std::byte* target,
                         std::size_t values) noexcept {
  if (layout.sub_values == 16) {
    encode_rows<16>(layout, grid, super, source, importance, target, values);
    return;
  }
  encode_rows<32>(layout, grid, super, source, importance, target, values);
}

}  // namespace paring::quant
