// SPDX-License-Identifier: Apache-2.0
#include "measure/agreement.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/check.h"
#include "measure/statistics.h"

namespace paring::measure {

double cosine(const float* a, const float* b, std::size_t width) {
  double product = 0;
  double a_squares = 0;
  double b_squares = 0;
  for (std::size_t i = 0; i < width; ++i) {
    const auto left = static_cast<double>(a[i]);
    const auto right = static_cast<double>(b[i]);
    product += left * right;
    a_squares += left * left;
    b_squares += right * right;
  }
  const double lengths = std::sqrt(a_squares) * std::sqrt(b_squares);
  return lengths > 0 ? product / lengths : 0;
}

Agreement agreement(std::span<const float> a, std::span<const float> b, std::size_t width) {
  PARING_CHECK(a.size() == b.size() && !a.empty() && a.size() % width == 0, "rows of both");
  std::vector<double> cosines;
  for (std::size_t at = 0; at < a.size(); at += width) {
    cosines.push_back(cosine(a.data() + at, b.data() + at, width));
  }
  std::sort(cosines.begin(), cosines.end());
  return {.texts = cosines.size(),
          .mean = moments(cosines).mean,
          .least = cosines.front(),
          .percentile_1 = quantile(cosines, 0.01),
          .percentile_5 = quantile(cosines, 0.05),
          .median = quantile(cosines, 0.5)};
}

}  // namespace paring::measure
