// SPDX-License-Identifier: Apache-2.0
// Search for the scales, mins and codes of super-blocks that minimise the weighted square error,
// shared by the formats with sub-blocks. Each sub-block is first fitted by itself, with real scale
// and min (as search.h does for blocks); then f16 scales are chosen under which the fits fall close
// to integers; then integers, codes and f16 scales are improved in turns, every step judged by the
// error that the decoded values have.
#pragma once

#include <array>
#include <cstddef>
#include <span>

#include "quant/search.h"
#include "quant/super_block.h"

namespace paring::quant {

// Candidates for a scale over integers: the largest fitted sub-scale is put on each of `positions`,
// in integers. The best by the curvature of the sub-blocks' errors is kept and settled in at most
// `turns` rounds.
struct SuperGrid {
  std::span<const float> scale_positions;
  std::span<const float> min_positions;
  int turns;
};

// `kCount` positions from `first` on.
template <std::size_t kCount>
constexpr std::array<float, kCount> positions_from(float first, float step) {
  std::array<float, kCount> positions{};
  for (std::size_t i = 0; i < kCount; ++i) positions[i] = first + step * static_cast<float>(i);
  return positions;
}
// The same at both ends of signed integers: half of them from `lowest` up, half from `highest`
// down.
template <std::size_t kCount>
constexpr std::array<float, kCount> positions_at_ends(float lowest, float highest, float step) {
  std::array<float, kCount> positions{};
  for (std::size_t i = 0; i < kCount; ++i) {
    const float way = step * static_cast<float>(i / 2);
    positions[i] = i % 2 == 0 ? lowest + way : highest - way;
  }
  return positions;
}

// x ~ (scale * sub_scale) * level. Format::encode of Q3_K, Q6_K and IQ4_XS.
void encode_super_symmetric(const SuperLayout& layout, const ScaleGrid& grid,
                            const SuperGrid& super, const float* source, const float* importance,
                            std::byte* target, std::size_t values) noexcept;
// x ~ (scale * sub_scale) * code - min_scale * sub_min. Format::encode of Q2_K, Q4_K and Q5_K.
void encode_super_affine(const SuperLayout& layout, const AffineGrid& grid, const SuperGrid& super,
                         const float* source, const float* importance, std::byte* target,
                         std::size_t values) noexcept;

}  // namespace paring::quant
