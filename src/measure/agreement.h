// SPDX-License-Identifier: Apache-2.0
// How far the vectors of two encoders point the same way. Pure functions, in double.
#pragma once

#include <cstddef>
#include <span>

namespace paring::measure {

// Cosines of pairs of vectors: their mean and what the worst ones are.
struct Agreement {
  std::size_t texts = 0;
  double mean = 0;
  double least = 0;
  double percentile_1 = 0;
  double percentile_5 = 0;
  double median = 0;
};

// The cosine of two vectors of `width` values; 0 when one of them has no length.
double cosine(const float* a, const float* b, std::size_t width);
// Rows of two matrices [texts, width]. REQUIRES: the same number of values, whole rows, at least
// one.
Agreement agreement(std::span<const float> a, std::span<const float> b, std::size_t width);

}  // namespace paring::measure
