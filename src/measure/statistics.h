// SPDX-License-Identifier: Apache-2.0
// Statistics of measured values: means with their standard errors, quantiles, comparison of two
// models item by item. Pure functions, in double; deterministic (resampling draws from Philox).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace paring::measure {

struct Moments {
  double mean = 0;
  double standard_error = 0;  // sample standard deviation / sqrt(n); 0 for fewer than two values
};
// Of no values: zeros.
Moments moments(std::span<const double> values);

// Linear interpolation between the two nearest ranks, as numpy.quantile does by default.
// REQUIRES: sorted ascending, not empty, 0 <= q <= 1.
double quantile(std::span<const double> sorted, double q);

struct Perplexity {
  double value = 0;           // exp(mean negative log-likelihood)
  double standard_error = 0;  // of value, first order
  std::size_t tokens = 0;
};
// Of negative log-likelihoods in nats.
Perplexity perplexity_of(std::span<const double> losses);

}  // namespace paring::measure
