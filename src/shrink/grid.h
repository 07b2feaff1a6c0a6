// SPDX-License-Identifier: Apache-2.0
// The values that an encoded row can still take when its block parameters (scales, mins) are held
// and only codes change: value = scale * level(code) + offset, one scale and offset a group of
// columns. One entry a type; types without one (floats) are not on a grid. Stateless, thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "tensor/dtype.h"

namespace paring::shrink {

struct Grid {
  DType type;
  std::size_t group;  // columns that share a scale and an offset
  int lowest;         // smallest code, as level: Q4_0 has -8..7
  int highest;
  const std::int8_t* levels;  // level of code i; null: evenly spaced, level = code
  // Scales and offsets of a row, one a group.
  void (*read)(const std::byte* row, std::size_t cols, float* scales, float* offsets);
  // Writes the codes of a row, one int8 a column, and leaves the parameters.
  void (*write)(const std::int8_t* codes, std::size_t cols, std::byte* row);
};

// Null when `type` is not on a grid.
const Grid* find_grid(DType type) noexcept;

}  // namespace paring::shrink
