// SPDX-License-Identifier: Apache-2.0
// The head's inputs as two int8 terms. Private to forward.cc.
#pragma once

#include <cstddef>

#include "kernels/ops.h"

namespace paring::model::detail {

// The head's inputs are rounded to int8 twice: the value, and what that left. Measured on SmolLM2,
// a quarter of all activation rounding loss was the head's, and only rows that sample pay for it
// (docs/adr/0008).
inline constexpr std::size_t kHeadTerms = 2;

// x [width] as row 0 of `coarse` plus row 0 of `fine`. `rest` [width] is room for what is left.
inline void quantize_in_terms(const kernels::KernelTable& table, const float* x, std::size_t width,
                              float* rest, const kernels::QuantizedRows& coarse,
                              const kernels::QuantizedRows& fine) noexcept {
  table.quantize_rows(x, 1, width, width, coarse);
  for (std::size_t c = 0; c < width; ++c) {
    const float scale = coarse.scales[c / kernels::kGroupValues];
    rest[c] = x[c] - scale * static_cast<float>(coarse.codes[c]);
  }
  table.quantize_rows(rest, 1, width, width, fine);
}

}  // namespace paring::model::detail
