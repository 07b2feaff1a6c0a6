// SPDX-License-Identifier: Apache-2.0
// Expected values: numpy 2.4 (mean, std with ddof 1, quantile).
#include "measure/statistics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <vector>

#include "base/random.h"

namespace paring::measure {
namespace {

// Ascending: quantile() wants them so.
const std::vector<double> kValues{0.0004, 0.0011, 0.0023, 0.0078, 0.013,
                                  0.05,   0.09,   0.31,   0.77,   4.2};

TEST(Statistics, MomentsAreThoseOfNumpy) {
  const Moments m = moments(kValues);
  EXPECT_NEAR(m.mean, 0.54446, 1e-12);
  EXPECT_NEAR(m.standard_error, 0.4133262040245372, 1e-12);
  EXPECT_EQ(moments({}).mean, 0);
  const std::vector<double> one{3};
  EXPECT_EQ(moments(one).mean, 3);
  EXPECT_EQ(moments(one).standard_error, 0);
}

TEST(Statistics, TheMedianNeedsNoOrder) {
  EXPECT_EQ(median({}), 0);
  EXPECT_EQ(median({3, 1, 2}), 2);
  EXPECT_EQ(median({4, 1, 3, 2}), 2.5);
}

TEST(Statistics, QuantilesAreThoseOfNumpy) {
  EXPECT_NEAR(quantile(kValues, 0.5), 0.0315, 1e-12);
  EXPECT_NEAR(quantile(kValues, 0.9), 1.113, 1e-12);
  EXPECT_NEAR(quantile(kValues, 0.95), 2.6565, 1e-12);
  EXPECT_NEAR(quantile(kValues, 0.99), 3.8913, 1e-12);
  EXPECT_NEAR(quantile(kValues, 0.999), 4.16913, 1e-12);
  EXPECT_EQ(quantile(kValues, 0), 0.0004);
  EXPECT_EQ(quantile(kValues, 1), 4.2);
}

TEST(Statistics, PerplexityIsTheExponentialOfTheMean) {
  const std::vector<double> losses{1, 2, 3};
  const Perplexity p = perplexity_of(losses);
  EXPECT_NEAR(p.value, std::exp(2.0), 1e-12);
  EXPECT_NEAR(p.standard_error, std::exp(2.0) / std::sqrt(3.0), 1e-12);
  EXPECT_EQ(p.tokens, 3u);
}

// scipy.stats.binomtest(b, b + c, 0.5).pvalue
TEST(Statistics, McNemarIsThatOfScipy) {
  EXPECT_EQ(mcnemar_p(0, 0), 1);
  EXPECT_NEAR(mcnemar_p(1, 5), 0.21875, 1e-12);
  EXPECT_NEAR(mcnemar_p(10, 3), 0.09228515625, 1e-12);
  EXPECT_NEAR(mcnemar_p(30, 30), 1.0, 1e-12);
  EXPECT_NEAR(mcnemar_p(200, 260), 0.0058839224731039984, 1e-12);
  EXPECT_NEAR(mcnemar_p(5000, 5300), 0.003215819673645239, 1e-10);  // 2^-10300 is no double
}

TEST(Statistics, ResamplingAgreesWithTheFirstOrder) {
  std::vector<double> values(400);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = std::sin(static_cast<double>(i));
  const auto itself = [](double mean) { return mean; };
  const double expected = moments(values).standard_error;
  EXPECT_NEAR(bootstrap_standard_error(values, itself) / expected, 1.0, 0.05);
  EXPECT_EQ(bootstrap_standard_error(values, itself), bootstrap_standard_error(values, itself));
  EXPECT_EQ(bootstrap_standard_error(std::vector<double>{1}, itself), 0);
  // Paired: what both have in common does not count.
  std::vector<double> shifted = values;
  for (double& value : shifted) value += 0.5;
  const auto difference = [](double a, double b) { return b - a; };
  EXPECT_NEAR(paired_bootstrap_standard_error(values, shifted, difference), 0, 1e-12);
}

// Coverages of order statistics as tables of the sign test give them (Conover, Practical
// Nonparametric Statistics, table A3): n = 7 takes the extremes, n = 9 the second from each end, n
// = 20 the sixth.
TEST(MedianInterval, TakesTheNarrowestThatCovers) {
  const auto of = [](std::size_t n) {  // of n, n - 1, ... 1
    std::vector<double> values(n);
    std::iota(values.rbegin(), values.rend(), 1.0);
    return median_interval(values);
  };
  EXPECT_DOUBLE_EQ(of(7).median, 4);
  EXPECT_DOUBLE_EQ(of(7).low, 1);
  EXPECT_DOUBLE_EQ(of(7).high, 7);
  EXPECT_NEAR(of(7).coverage, 0.984375, 1e-12);
  EXPECT_DOUBLE_EQ(of(9).low, 2);
  EXPECT_DOUBLE_EQ(of(9).high, 8);
  EXPECT_NEAR(of(9).coverage, 0.9609375, 1e-12);
  EXPECT_DOUBLE_EQ(of(20).median, 10.5);
  EXPECT_DOUBLE_EQ(of(20).low, 6);
  EXPECT_DOUBLE_EQ(of(20).high, 15);
  EXPECT_NEAR(of(20).coverage, 0.9586, 1e-4);
}

TEST(MedianInterval, TooFewValuesGiveTheRangeAndSaySo) {
  const MedianInterval three = median_interval({5, 1, 2});
  EXPECT_DOUBLE_EQ(three.median, 2);
  EXPECT_DOUBLE_EQ(three.low, 1);
  EXPECT_DOUBLE_EQ(three.high, 5);
  EXPECT_NEAR(three.coverage, 0.75, 1e-12);
  EXPECT_DOUBLE_EQ(median_interval({4}).coverage, 0);
  EXPECT_DOUBLE_EQ(median_interval({4}).high, 4);
  EXPECT_DOUBLE_EQ(median_interval({}).median, 0);
}

// Medians of samples of a known distribution lie in the interval as often as it says.
TEST(MedianInterval, CoversWhatItClaims) {
  RandomStream random({.seed = 5, .sequence = 0});
  std::size_t covered = 0;
  constexpr std::size_t kRounds = 4000;
  for (std::size_t round = 0; round < kRounds; ++round) {
    std::vector<double> values(9);
    for (double& value : values) value = std::exp(4 * random.uniform());  // median exp(2)
    const MedianInterval found = median_interval(values);
    covered += found.low <= std::exp(2.0) && std::exp(2.0) <= found.high ? 1U : 0U;
  }
  EXPECT_NEAR(static_cast<double>(covered) / kRounds, 0.9609, 0.012);
}

}  // namespace
}  // namespace paring::measure
