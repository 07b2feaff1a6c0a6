// SPDX-License-Identifier: Apache-2.0
#include "quant/levels.h"
#include "quant/super_group.h"
#include "quant/super_search.h"
#include "quant/symmetric.h"

namespace paring::quant {

namespace {

template <std::size_t N, class Levels>
class SymmetricSearch {
 public:
  SymmetricSearch(const SuperLayout& layout, const ScaleGrid& grid, const SuperGrid& super_grid,
                  const Levels& levels)
      : layout_(layout),
        grid_(grid),
        super_grid_(super_grid),
        levels_(levels),
        lowest_(spread(static_cast<float>(layout.sub_scale_lowest))),
        highest_(spread(static_cast<float>(layout.sub_scale_highest))) {}

  void encode(const float* source, const float* importance, float floor,
              SuperBlock& parts) noexcept {
    load_super(super_, source, importance, floor);
    for (std::size_t g = 0; g < kGroups; ++g) {
      fits_[g] = search_scale(super_.groups[g], levels_, grid_.positions, grid_.turns);
    }
    Candidate candidates[kTrials];
    choose_scale(candidates);
    Trial best = integers_under(candidates[0].scale);
    settle(best);
    for (std::size_t c = 1; c < kTrials; ++c) {
      Trial trial = integers_under(candidates[c].scale);
      settle(trial);
      if (trial.error() < best.error()) best = trial;
    }
    store(best, parts);
  }

 private:
  static constexpr std::size_t kGroups = SuperGroups<N>::kCount;
  static constexpr std::size_t kTrials = 2;  // settled
  using Candidate = ScaleCandidate;

  struct Trial {
    HalfScale scale;
    Lanes integers[kGroups];
    Lanes errors[kGroups];
    float error() const noexcept {
      float total = 0.0F;
      for (const Lanes& lanes : errors) total += sum_of(lanes);
      return total;
    }
  };

  Lanes to_integers(Lanes scale, float unit) const noexcept {
    return nearest(smaller(larger(divide_or_zero(scale, spread(unit)), lowest_), highest_));
  }

  // The f16 scales under which the fitted scales lose least by becoming integers.
  void choose_scale(Candidate (&best)[kTrials]) const noexcept {
    float extreme = 0.0F;
    for (const SymmetricFit& fit : fits_) {
      for (std::size_t lane = 0; lane < kLanes; ++lane) {
        if (std::fabs(fit.scale[lane]) > std::fabs(extreme)) extreme = fit.scale[lane];
      }
    }
    for (const float position : super_grid_.scale_positions) {
      Candidate candidate{to_half(super_, extreme / position), {}, 0.0F};
      Lanes loss{};
      for (const SymmetricFit& fit : fits_) {
        const float unit = candidate.scale.value;
        const Lanes miss = fit.scale - to_integers(fit.scale, unit) * unit;
        loss += fit.wqq * miss * miss;
      }
      candidate.loss = sum_of(loss);
      keep_least(best, candidate);
    }
  }

  Trial integers_under(HalfScale scale) const noexcept {
    Trial trial{scale, {}, {}};
    for (std::size_t g = 0; g < kGroups; ++g) {
      trial.integers[g] = to_integers(fits_[g].scale, scale.value);
      trial.errors[g] = symmetric_error(super_.groups[g], trial.integers[g] * scale.value, levels_);
    }
    return trial;
  }

  // Neighbours of each integer, with the codes that fit them.
  void step_integers(Trial& trial) const noexcept {
    for (std::size_t g = 0; g < kGroups; ++g) {
      for (const float step : {1.0F, -1.0F}) {
        const Lanes integers = smaller(larger(trial.integers[g] + step, lowest_), highest_);
        const Lanes errors =
            symmetric_error(super_.groups[g], integers * trial.scale.value, levels_);
        const LaneMask is_better = errors < trial.errors[g];
        trial.integers[g] = is_better ? integers : trial.integers[g];
        trial.errors[g] = is_better ? errors : trial.errors[g];
      }
    }
  }

  // Best f16 scale for the integers and codes; codes then follow. False when nothing was gained.
  bool step_scale(Trial& trial) const noexcept {
    Lanes along{};
    Lanes square{};
    for (std::size_t g = 0; g < kGroups; ++g) {
      const Lanes scale = trial.integers[g] * trial.scale.value;
      const SymmetricSums sums =
          symmetric_sums(super_.groups[g], scale, divide_or_zero(spread(1.0F), scale), levels_);
      along += trial.integers[g] * sums.wqr;
      square += trial.integers[g] * trial.integers[g] * sums.wqq;
    }
    if (!(sum_of(square) > 0.0F)) return false;
    Trial next = trial;
    next.scale = to_half(super_, trial.scale.value + sum_of(along) / sum_of(square));
    if (next.scale.half == trial.scale.half) return false;
    for (std::size_t g = 0; g < kGroups; ++g) {
      next.errors[g] =
          symmetric_error(super_.groups[g], next.integers[g] * next.scale.value, levels_);
    }
    if (!(next.error() < trial.error())) return false;
    trial = next;
    return true;
  }

  void settle(Trial& trial) const noexcept {
    for (int turn = 0; turn < super_grid_.turns; ++turn) {
      step_integers(trial);
      if (!step_scale(trial)) return;
    }
  }

  void store(const Trial& trial, SuperBlock& parts) const noexcept {
    parts.scale = trial.scale.half;
    parts.min_scale = 0;
    for (std::size_t j = 0; j < kSubBlocksMax; ++j) {
      parts.sub_mins[j] = 0;
      parts.sub_scales[j] = 0;
    }
    for (std::size_t g = 0; g < kGroups; ++g) {
      const Lanes inverse = divide_or_zero(spread(1.0F), trial.integers[g] * trial.scale.value);
      for (std::size_t lane = 0; lane < kLanes; ++lane) {
        parts.sub_scales[g * kLanes + lane] = static_cast<std::int8_t>(trial.integers[g][lane]);
      }
      for (std::size_t i = 0; i < N; ++i) {
        const LaneInts codes = levels_.code_of(super_.groups[g].x[i] * inverse);
        for (std::size_t lane = 0; lane < kLanes; ++lane) {
          parts.codes[(g * kLanes + lane) * N + i] = static_cast<std::int8_t>(codes[lane]);
        }
      }
    }
  }

  const SuperLayout& layout_;
  const ScaleGrid& grid_;
  const SuperGrid& super_grid_;
  const Levels levels_;
  const Lanes lowest_;
  const Lanes highest_;
  SuperGroups<N> super_;
  SymmetricFit fits_[kGroups];
};

template <std::size_t N, class Levels>
void encode_rows(const SuperLayout& layout, const ScaleGrid& grid, const SuperGrid& super,
                 const Levels& levels, const float* source, const float* importance,
                 std::byte* target, std::size_t values) noexcept {
  const float floor = mean_square(source, values);
  SymmetricSearch<N, Levels> search(layout, grid, super, levels);
  SuperBlock parts;
  for (std::size_t at = 0; at < values; at += kSuperValues, target += layout.bytes) {
    search.encode(source + at, importance == nullptr ? nullptr : importance + at, floor, parts);
    layout.put_together(parts, target);
  }
}

}  // namespace

void encode_super_symmetric(const SuperLayout& layout, const ScaleGrid& grid,
                            const SuperGrid& super, const float* source, const float* importance,
                            std::byte* target, std::size_t values) noexcept {
  if (layout.is_codebook) {
    encode_rows<32>(layout, grid, super, UnevenLevels{}, source, importance, target, values);
    return;
  }
  const EvenLevels levels{spread(static_cast<float>(layout.lowest)),
                          spread(static_cast<float>(layout.highest))};
  encode_rows<16>(layout, grid, super, levels, source, importance, target, values);
}

}  // namespace paring::quant
