// SPDX-License-Identifier: Apache-2.0
#include "quant/error.h"

#include <vector>

#include "base/check.h"

namespace paring::quant {

double weighted_error(const Format& format, std::span<const float> rows, std::size_t columns,
                      const float* importance) {
  const DTypeInfo& info = dtype_info(format.type);
  PARING_CHECK(columns > 0 && columns % info.block_values == 0 && rows.size() % columns == 0,
               "weighted_error() of rows that are not whole");
  std::vector<std::byte> encoded(columns / info.block_values * info.block_bytes);
  std::vector<float> decoded(columns);
  double total = 0.0;
  for (std::size_t at = 0; at < rows.size(); at += columns) {
    const float* row = rows.data() + at;
    format.encode(row, importance, encoded.data(), columns);
    format.decode(encoded.data(), decoded.data(), columns);
    for (std::size_t c = 0; c < columns; ++c) {
      const double miss = double{row[c]} - double{decoded[c]};
      total += miss * miss * (importance == nullptr ? 1.0 : double{importance[c]});
    }
  }
  return total;
}

}  // namespace paring::quant
