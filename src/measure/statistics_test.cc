// SPDX-License-Identifier: Apache-2.0
// Expected values: numpy 2.4 (mean, std with ddof 1, quantile).
#include "measure/statistics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

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

}  // namespace
}  // namespace paring::measure
