// SPDX-License-Identifier: Apache-2.0
// What a format would cost, without keeping what it encodes. Stateless and thread-safe.
#pragma once

#include <cstddef>
#include <span>

#include "quant/format.h"

namespace paring::quant {

// Encodes each row of `rows` (whole rows of `columns` values) in `format`, decodes it again, and
// returns sum importance[c] * (x[r][c] - decoded[r][c])^2 over all of them, in double. `importance`
// is null (all ones in the sum) or holds `columns` weights; the encoder gets it as well.
// REQUIRES: columns is a whole number of the format's blocks.
double weighted_error(const Format& format, std::span<const float> rows, std::size_t columns,
                      const float* importance);

}  // namespace paring::quant
