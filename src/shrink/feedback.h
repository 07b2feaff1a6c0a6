// SPDX-License-Identifier: Apache-2.0
// Rounding with error feedback on an encoded row's own grid (see input_factor.h), for up to
// kFeedbackRows rows side by side. The block parameters stay as the encoder's search found them
// (GPTQ's "static groups", which a file format with contiguous blocks asks for anyway); codes are
// chosen one column after another, each making good what the columns before it lost.
// A tile belongs to one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "shrink/grid.h"
#include "shrink/input_factor.h"

namespace paring::shrink {

inline constexpr std::size_t kFeedbackRows = 16;

class FeedbackTile {
 public:
  explicit FeedbackTile(std::size_t cols);

  // Row `lane` of the tile: its true values and the values that it is decoded to.
  void set_row(std::size_t lane, const float* values, const float* decoded) noexcept;
  void clear() noexcept;

  // e H e^T of the rows as they are decoded, per lane.
  void loss(const InputFactor& factor, double* losses) noexcept;
  // Chooses codes anew; `rows[lane]` are encoded rows (null: no row) whose parameters are read and
  // whose codes are written. Losses as above, after the choice.
  void round(const InputFactor& factor, const Grid& grid, std::byte* const* rows,
             double* losses) noexcept;

 private:
  void run(const InputFactor& factor, const Grid* grid, double* losses) noexcept;

  std::size_t cols_;
  // [cols] lanes each: values, errors (value - decoded), errors in order of rounding, codes.
  std::vector<float> values_;
  std::vector<float> errors_;
  std::vector<float> ordered_;
  std::vector<float> codes_;
  // [groups] lanes each, and one row of them before they are spread over lanes.
  std::vector<float> scales_;
  std::vector<float> offsets_;
  std::vector<float> row_scales_;
  std::vector<float> row_offsets_;
  std::vector<std::int8_t> row_codes_;
};

}  // namespace paring::shrink
