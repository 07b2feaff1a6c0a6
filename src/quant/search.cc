// SPDX-License-Identifier: Apache-2.0
// Candidates for the scale are tried first (each judged after its best real scale is known), then
// codes and parameters are improved in turns, then scale and min are rounded to f16 and their
// neighbours tried with the codes that fit them. Candidate grids after ggml's make_qx_quants and
// make_qkx3_quants; the turns, both signs and the f16 neighbours are ours.
#include "quant/search.h"

#include <algorithm>
#include <cmath>

#include "quant/affine.h"
#include "quant/blocks.h"
#include "quant/half.h"
#include "quant/lanes.h"
#include "quant/levels.h"
#include "quant/symmetric.h"

namespace paring::quant {

namespace {

// Loads up to kLanes blocks; missing ones are zero.
void load(BlockGroup& group, const float* source, const float* importance, std::size_t blocks,
          float floor) noexcept {
  for (std::size_t lane = 0; lane < kLanes; ++lane) {
    float extreme = 0.0F;
    float weight_max = 0.0F;
    float weights[kBlockValues];
    const bool is_present = lane < blocks;
    const float* x = source + lane * kBlockValues;
    for (std::size_t i = 0; i < kBlockValues && is_present; ++i) {
      const float* given = importance == nullptr ? nullptr : importance + lane * kBlockValues + i;
      weights[i] = weight_of(x[i], given, floor);
      weight_max = std::max(weight_max, weights[i]);
      extreme = std::max(extreme, std::fabs(x[i]));
    }
    const float unit = unit_of(extreme);
    group.unit[lane] = unit;
    group.inverse[lane] = 1.0F / unit;
    const bool is_weighted = weight_max > 0.0F && weight_max <= 3.4e38F;
    for (std::size_t i = 0; i < kBlockValues; ++i) {
      group.x[i][lane] = is_present ? x[i] * (1.0F / unit) : 0.0F;
      group.weight[i][lane] = is_present && is_weighted ? weights[i] / weight_max : 1.0F;
    }
  }
}

// Hands the codes and f16 parameters of the blocks to the format.
void store(const BlockLayout& layout, const LaneInts* codes, const std::uint16_t* scales,
           const std::uint16_t* mins, std::size_t blocks, std::byte* target) noexcept {
  for (std::size_t lane = 0; lane < blocks; ++lane) {
    BlockChoice choice;
    choice.scale = scales[lane];
    choice.min = mins[lane];
    for (std::size_t i = 0; i < kBlockValues; ++i) {
      choice.codes[i] = static_cast<std::int8_t>(codes[i][lane]);
    }
    layout.store(choice, target + lane * layout.bytes);
  }
}

// ---- x ~ scale * level

template <class Levels>
void choose_symmetric(const BlockGroup& group, Lanes scale, const Levels& levels, LaneInts* codes,
                      std::uint16_t* halves) noexcept {
  Lanes best_error = spread(3.4e38F);
  Lanes best{};
  for (const int steps : {0, -1, 1}) {
    std::uint16_t trial[kLanes];
    const Lanes rounded = to_half_steps(group, scale, steps, trial);
    const Lanes error = symmetric_error(group, rounded, levels);
    const LaneMask is_better = error < best_error;
    best_error = is_better ? error : best_error;
    best = is_better ? rounded : best;
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      halves[lane] = is_better[lane] != 0 ? trial[lane] : halves[lane];
    }
  }
  const Lanes inverse = divide_or_zero(spread(1.0F), best);
  for (std::size_t i = 0; i < kBlockValues; ++i) codes[i] = levels.code_of(group.x[i] * inverse);
}

// ---- x ~ scale * code + min

class AffineRounding {
 public:
  AffineRounding(const BlockGroup& group, const AffineFit& fit, const EvenLevels& levels) noexcept
      : group_(group), fit_(fit), levels_(levels) {}

  // Neighbours of the fit in f16.
  void choose() noexcept {
    for (const int steps : {0, -1, 1}) {
      for (const int min_steps : {0, -1, 1}) improve(steps, 0.0F, min_steps);
    }
    // One value may weigh so much that all depends on how near it comes to a level, for which f16
    // leaves few ways: other codes for it give others.
    const LaneMask is_lossy = error_ > fit_.error * spread(kLossMax);
    if ((is_lossy[0] | is_lossy[1] | is_lossy[2] | is_lossy[3]) == 0) return;
    for (const float shift : {-2.0F, -1.0F, 1.0F, 2.0F, 0.0F}) {
      for (int steps = -4; steps <= 4; ++steps) improve(steps, shift, 0);
    }
  }

  void store(LaneInts* codes, std::uint16_t* scales, std::uint16_t* mins) const noexcept {
    const Lanes inverse = divide_or_zero(spread(1.0F), scale_);
    for (std::size_t i = 0; i < kBlockValues; ++i) {
      codes[i] = levels_.code_of((group_.x[i] - min_) * inverse);
    }
    std::copy_n(scale_halves_, kLanes, scales);
    std::copy_n(min_halves_, kLanes, mins);
  }

 private:
  static constexpr float kLossMax = 1.05F;

  // The scale some f16 steps away. That moves the middle of the block, so the min follows it; by
  // `shift` codes more, and then some f16 steps.
  void improve(int steps, float shift, int min_steps) noexcept {
    std::uint16_t scale_trial[kLanes];
    std::uint16_t min_trial[kLanes];
    const Lanes scale = to_half_steps(group_, fit_.scale, steps, scale_trial);
    const Lanes wanted_min = fit_.min + (fit_.scale - scale) * fit_.mean_code - scale * shift;
    const Lanes min = to_half_steps(group_, wanted_min, min_steps, min_trial);
    const Lanes error = affine_residuals(group_, scale, min, levels_);
    const LaneMask is_better = error < error_;
    error_ = is_better ? error : error_;
    scale_ = is_better ? scale : scale_;
    min_ = is_better ? min : min_;
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      scale_halves_[lane] = is_better[lane] != 0 ? scale_trial[lane] : scale_halves_[lane];
      min_halves_[lane] = is_better[lane] != 0 ? min_trial[lane] : min_halves_[lane];
    }
  }

  const BlockGroup& group_;
  const AffineFit& fit_;
  const EvenLevels& levels_;
  Lanes error_ = spread(3.4e38F);
  Lanes scale_{};
  Lanes min_{};
  std::uint16_t scale_halves_[kLanes] = {};
  std::uint16_t min_halves_[kLanes] = {};
};

template <class Levels>
void encode_scaled(const BlockLayout& layout, const ScaleGrid& grid, const Levels& levels,
                   const float* source, const float* importance, std::byte* target,
                   std::size_t values) noexcept {
  const float floor = mean_square(source, values);
  const std::size_t blocks = values / kBlockValues;
  constexpr std::uint16_t kNoMins[kLanes] = {};
  for (std::size_t b = 0; b < blocks; b += kLanes) {
    const std::size_t here = std::min(kLanes, blocks - b);
    const std::size_t at = b * kBlockValues;
    BlockGroup group;
    load(group, source + at, importance == nullptr ? nullptr : importance + at, here, floor);
    LaneInts codes[kBlockValues];
    std::uint16_t scales[kLanes] = {};
    const SymmetricFit fit = search_scale(group, levels, grid.positions, grid.turns);
    choose_symmetric(group, fit.scale, levels, codes, scales);
    store(layout, codes, scales, kNoMins, here, target + b * layout.bytes);
  }
}

}  // namespace

void encode_symmetric(const BlockLayout& layout, const ScaleGrid& grid, const float* source,
                      const float* importance, std::byte* target, std::size_t values) noexcept {
  const EvenLevels levels{spread(static_cast<float>(layout.lowest)),
                          spread(static_cast<float>(layout.highest))};
  encode_scaled(layout, grid, levels, source, importance, target, values);
}

void encode_uneven(const BlockLayout& layout, const ScaleGrid& grid, const float* source,
                   const float* importance, std::byte* target, std::size_t values) noexcept {
  encode_scaled(layout, grid, UnevenLevels{}, source, importance, target, values);
}

void encode_affine(const BlockLayout& layout, const AffineGrid& grid, const float* source,
                   const float* importance, std::byte* target, std::size_t values) noexcept {
  const EvenLevels levels{spread(static_cast<float>(layout.lowest)),
                          spread(static_cast<float>(layout.highest))};
  const float floor = mean_square(source, values);
  const std::size_t blocks = values / kBlockValues;
  for (std::size_t b = 0; b < blocks; b += kLanes) {
    const std::size_t here = std::min(kLanes, blocks - b);
    const std::size_t at = b * kBlockValues;
    BlockGroup group;
    load(group, source + at, importance == nullptr ? nullptr : importance + at, here, floor);
    const FixedSums fixed = fixed_sums(group);
    LaneInts codes[kBlockValues];
    std::uint16_t scales[kLanes] = {};
    std::uint16_t mins[kLanes] = {};
    const AffineFit fit = search_affine(group, fixed, levels, grid, MinSign::kAny);
    AffineRounding rounding(group, fit, levels);
    rounding.choose();
    rounding.store(codes, scales, mins);
    store(layout, codes, scales, mins, here, target + b * layout.bytes);
  }
}

}  // namespace paring::quant
