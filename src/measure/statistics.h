// SPDX-License-Identifier: Apache-2.0
// Statistics of measured values: means with their standard errors, quantiles, comparison of two
// models item by item. Pure functions, in double; deterministic (resampling draws from Philox).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

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
// quantile(1/2) of values in any order; 0 of none.
double median(std::vector<double> values);

// The median of independent values with an interval that needs no assumption about their
// distribution: between the k-th smallest and the k-th largest, where the true median lies with
// probability `coverage` = 1 - 2 P(Binomial(n, 1/2) < k). k is the largest that covers
// `confidence`; of too few values for it (fewer than 6 for 95 %) the whole range is taken and
// covers less.
struct MedianInterval {
  double median = 0;
  double low = 0;
  double high = 0;
  double coverage = 0;
};
// Of no values: zeros.
MedianInterval median_interval(std::vector<double> values, double confidence = 0.95);

struct Perplexity {
  double value = 0;           // exp(mean negative log-likelihood)
  double standard_error = 0;  // of value, first order
  std::size_t tokens = 0;
};
// Of negative log-likelihoods in nats.
Perplexity perplexity_of(std::span<const double> losses);

// Standard error of value(mean of `values`), as the standard deviation over kBootstrapRounds
// resamples drawn with replacement, always the same ones; as lm-evaluation-harness does it for
// perplexities. 0 for fewer than two values.
inline constexpr std::size_t kBootstrapRounds = 2000;
double bootstrap_standard_error(std::span<const double> values, double (*value)(double mean));
// The same for a value of two means, resampled in pairs. REQUIRES: as many of both.
double paired_bootstrap_standard_error(std::span<const double> first,
                                       std::span<const double> second,
                                       double (*value)(double first_mean, double second_mean));

// McNemar's exact test of two models on the same items: the probability, were both equally good, of
// a split of the items that only one has right at least as uneven as this. Two-sided binomial,
// p = 1/2.
double mcnemar_p(std::size_t only_first_right, std::size_t only_second_right);

}  // namespace paring::measure
