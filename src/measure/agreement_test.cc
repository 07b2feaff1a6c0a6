// SPDX-License-Identifier: Apache-2.0
#include "measure/agreement.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace paring::measure {
namespace {

TEST(Agreement, CosineKnowsDirectionAndNotLength) {
  const float a[] = {3.0F, 4.0F};
  const float b[] = {30.0F, 40.0F};
  const float c[] = {-4.0F, 3.0F};
  const float zero[] = {0.0F, 0.0F};
  EXPECT_DOUBLE_EQ(cosine(a, b, 2), 1.0);
  EXPECT_DOUBLE_EQ(cosine(a, c, 2), 0.0);
  EXPECT_DOUBLE_EQ(cosine(a, zero, 2), 0.0);
}

TEST(Agreement, MeanAndWorstAreOfTheRows) {
  const std::vector<float> a = {1, 0, 1, 0, 1, 0};
  const std::vector<float> b = {1, 0, 1, 1, 0, 1};
  const Agreement found = agreement(a, b, 2);
  EXPECT_EQ(found.texts, 3U);
  EXPECT_DOUBLE_EQ(found.least, 0.0);
  EXPECT_NEAR(found.median, std::sqrt(0.5), 1e-12);
  EXPECT_NEAR(found.mean, (1 + std::sqrt(0.5)) / 3, 1e-12);
  EXPECT_NEAR(found.percentile_1, 0.02 * std::sqrt(0.5), 1e-12);
}

}  // namespace
}  // namespace paring::measure
