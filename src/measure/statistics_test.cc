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

}  // namespace
}  // namespace paring::measure
