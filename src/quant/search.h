// SPDX-License-Identifier: Apache-2.0
// Search for the scale (and min) and the codes of 32-value blocks that minimise the weighted square
// error, shared by the block formats. A format gives its levels and a function that stores a block.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace paring::quant {

// Codes and parameters of one block, as found by the search: x[i] ~ scale * codes[i] (+ min), or
// scale * kIq4Values[codes[i]].
struct BlockChoice {
  std::uint16_t scale;  // f16
  std::uint16_t min;    // f16; 0 for symmetric formats
  std::int8_t codes[32];
};

struct BlockLayout {
  int lowest;   // smallest code
  int highest;  // largest code
  std::size_t bytes;
  void (*store)(const BlockChoice& choice, std::byte* block) noexcept;
};

// Candidates for the scale: the largest value of the block (by magnitude, signed) is put on each of
// `positions`, in codes. Then `turns` rounds of best codes and best scale in alternation.
struct ScaleGrid {
  std::span<const float> positions;
  int turns;
};

// Candidates for scale and min: the range is cut by `low` and `high` steps of the plain scale at
// its two ends (negative: widened). Then the range of the best is cut by the steps of `near`, one
// after the other, each from the best so far; then `turns` as above.
struct AffineGrid {
  struct Point {
    float low;
    float high;
  };
  std::span<const Point> points;
  int turns;
  std::span<const Point> near;
};

// A compass of half and of quarter steps: what is left to find once the points have been tried.
inline constexpr AffineGrid::Point kNearAffine[] = {
    {0.50F, 0.00F},  {-0.50F, 0.00F}, {0.00F, 0.50F}, {0.00F, -0.50F},
    {0.50F, -0.50F}, {-0.50F, 0.50F}, {0.50F, 0.50F}, {-0.50F, -0.50F},
    {0.25F, 0.00F},  {-0.25F, 0.00F}, {0.00F, 0.25F}, {0.00F, -0.25F},
    {0.25F, -0.25F}, {-0.25F, 0.25F}, {0.25F, 0.25F}, {-0.25F, -0.25F}};

// Encodes a row of `values` (whole blocks) with x ~ scale * code.
void encode_symmetric(const BlockLayout& layout, const ScaleGrid& grid, const float* source,
                      const float* importance, std::byte* target, std::size_t values) noexcept;
// Encodes a row with x ~ scale * kIq4Values[code].
void encode_uneven(const BlockLayout& layout, const ScaleGrid& grid, const float* source,
                   const float* importance, std::byte* target, std::size_t values) noexcept;
// Encodes a row with x ~ scale * code + min; lowest is 0.
void encode_affine(const BlockLayout& layout, const AffineGrid& grid, const float* source,
                   const float* importance, std::byte* target, std::size_t values) noexcept;

}  // namespace paring::quant
