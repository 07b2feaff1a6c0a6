// SPDX-License-Identifier: Apache-2.0
#include "measure/statistics.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "base/random.h"

namespace paring::measure {

Moments moments(std::span<const double> values) {
  const auto n = static_cast<double>(values.size());
  if (values.empty()) return {};
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
  double squares = 0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  return {mean, values.size() < 2 ? 0.0 : std::sqrt(squares / (n * (n - 1)))};
}

double quantile(std::span<const double> sorted, double q) {
  const double position = q * static_cast<double>(sorted.size() - 1);
  const auto low = static_cast<std::size_t>(position);
  const std::size_t high = std::min(low + 1, sorted.size() - 1);
  const double share = position - static_cast<double>(low);
  return sorted[low] * (1 - share) + sorted[high] * share;
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  return quantile(values, 0.5);
}

MedianInterval median_interval(std::vector<double> values, double confidence) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  const std::size_t n = values.size();
  const double all = std::exp2(static_cast<double>(n));
  MedianInterval result{quantile(values, 0.5), values.front(), values.back(), 0};
  double ways = 1;  // C(n, k)
  double tail = 0;  // P(Binomial(n, 1/2) <= k)
  for (std::size_t k = 0; 2 * k + 1 <= n; ++k) {
    tail += ways / all;
    const double coverage = 1 - 2 * tail;
    if (k > 0 && coverage < confidence) break;
    result = {result.median, values[k], values[n - 1 - k], std::max(0.0, coverage)};
    ways *= static_cast<double>(n - k) / static_cast<double>(k + 1);
  }
  return result;
}

Perplexity perplexity_of(std::span<const double> losses) {
  const Moments m = moments(losses);
  const double value = std::exp(m.mean);
  return {value, value * m.standard_error, losses.size()};
}

double paired_bootstrap_standard_error(std::span<const double> first,
                                       std::span<const double> second,
                                       double (*value)(double first_mean, double second_mean)) {
  const std::size_t n = first.size();
  if (n < 2) return 0;
  std::vector<double> found(kBootstrapRounds);
  for (std::size_t round = 0; round < kBootstrapRounds; ++round) {
    RandomStream draws({.seed = 1234, .sequence = round, .position = 0});
    double first_sum = 0, second_sum = 0;
    for (std::size_t i = 0; i < n; ++i) {
      const std::size_t k = draws.below(static_cast<std::uint32_t>(n));
      first_sum += first[k];
      second_sum += second[k];
    }
    found[round] = value(first_sum / static_cast<double>(n), second_sum / static_cast<double>(n));
  }
  // The deviation of the resamples, not of their mean.
  return moments(found).standard_error * std::sqrt(static_cast<double>(kBootstrapRounds));
}

double bootstrap_standard_error(std::span<const double> values, double (*value)(double mean)) {
  const std::size_t n = values.size();
  if (n < 2) return 0;
  std::vector<double> found(kBootstrapRounds);
  for (std::size_t round = 0; round < kBootstrapRounds; ++round) {
    RandomStream draws({.seed = 1234, .sequence = round, .position = 0});
    double sum = 0;
    for (std::size_t i = 0; i < n; ++i) sum += values[draws.below(static_cast<std::uint32_t>(n))];
    found[round] = value(sum / static_cast<double>(n));
  }
  return moments(found).standard_error * std::sqrt(static_cast<double>(kBootstrapRounds));
}

double mcnemar_p(std::size_t only_first_right, std::size_t only_second_right) {
  const std::size_t n = only_first_right + only_second_right;
  const std::size_t fewer = std::min(only_first_right, only_second_right);
  // Sum of C(n, k) / 2^n for k <= fewer, each from the one before, in logarithms: 2^-n underflows.
  double log_term = -static_cast<double>(n) * std::log(2.0);
  double sum = 0;
  for (std::size_t k = 0; k <= fewer; ++k) {
    sum += std::exp(log_term);
    log_term += std::log(static_cast<double>(n - k)) - std::log(static_cast<double>(k + 1));
  }
  return std::min(1.0, 2 * sum);
}

}  // namespace paring::measure
