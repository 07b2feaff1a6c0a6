// SPDX-License-Identifier: Apache-2.0
#include "serve/canary/comparison.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/random.h"

namespace paring::serve {
namespace {

TEST(Comparison, TheFailureTestIsFishersExactOne) {
  // Counted with whole numbers by another program.
  EXPECT_NEAR(failure_p(0, 5, 5, 5), 1.0 / 252, 1e-12);
  EXPECT_NEAR(failure_p(0, 10, 10, 10), 1.0 / 184756, 1e-12);
  EXPECT_NEAR(failure_p(1, 9, 11, 14), 0.0024902409476376362, 1e-12);
  EXPECT_NEAR(failure_p(2, 50, 9, 50), 0.025560466872843256, 1e-12);
  EXPECT_NEAR(failure_p(0, 100, 8, 100), 0.003377337287624105, 1e-12);
  EXPECT_DOUBLE_EQ(failure_p(3, 10, 0, 10), 1);
  EXPECT_DOUBLE_EQ(failure_p(0, 0, 0, 0), 1);
  EXPECT_DOUBLE_EQ(failure_p(0, 0, 4, 4), 1) << "nothing to compare with";
}

TEST(Comparison, TheFailureTestIsSymmetricInWhatItCounts) {
  // Failures of the second are successes of the first, seen from the other side.
  for (std::int64_t failed = 0; failed <= 12; ++failed) {
    EXPECT_NEAR(failure_p(4, 20, failed, 12), failure_p(12 - failed, 12, 16, 20), 1e-9) << failed;
  }
}

TEST(Comparison, StudentsQuantilesAreThoseOfTables) {
  EXPECT_NEAR(student_quantile(kAtEnd, 9), 1.833, 0.003);
  EXPECT_NEAR(student_quantile(kAtEnd, 99), 1.660, 0.001);
  EXPECT_NEAR(student_quantile(kAtLook, 9), 4.297, 0.03);
  EXPECT_NEAR(student_quantile(kAtLook, 1e9), kAtLook, 1e-6);
}

TEST(Comparison, OfFewOrOfNothingThereIsNoRatio) {
  RatioMean none;
  RatioMean one;
  one.add(1);
  RatioMean two = one;
  two.add(2);
  RatioMean zeros;
  zeros.add(0);
  zeros.add(0);
  EXPECT_FALSE(ratio_of(none, two, kAtEnd));
  EXPECT_FALSE(ratio_of(two, one, kAtEnd));
  EXPECT_DOUBLE_EQ(ratio_of(two, zeros, kAtEnd)->high, 1.5) << "two of them say nothing";
  EXPECT_FALSE(ratio_of(zeros, two, kAtEnd));
  ASSERT_TRUE(ratio_of(two, two, kAtEnd));
  EXPECT_DOUBLE_EQ(ratio_of(two, two, kAtEnd)->ratio, 1);
}

TEST(Comparison, AWeightedMeanIsASumOverASum) {
  RatioMean mean;
  mean.add(10, 1);
  mean.add(20, 4);
  EXPECT_DOUBLE_EQ(mean.mean(), 6);
  RatioMean steady;  // always as many by weight: nothing is uncertain
  for (int i = 1; i < 20; ++i) steady.add(3.0 * i, i);
  EXPECT_NEAR(steady.log_variance(), 0, 1e-15);
}

// How often the interval holds the truth, of skewed values, against what it says.
TEST(Comparison, TheIntervalHoldsTheTruthAsOftenAsItSays) {
  RandomStream random({.seed = 7});
  const auto wait = [&] { return -std::log(1 - random.uniform()); };
  constexpr int kRounds = 2000;
  int held = 0;
  for (int round = 0; round < kRounds; ++round) {
    RatioMean before;
    RatioMean after;
    for (int i = 0; i < 60; ++i) {
      before.add(wait() + wait());
      after.add(0.7 * (wait() + wait()));
    }
    const auto found = ratio_of(before, after, kAtEnd);
    ASSERT_TRUE(found);
    held += found->low <= 0.7 && 0.7 <= found->high ? 1 : 0;
  }
  EXPECT_NEAR(static_cast<double>(held) / kRounds, 0.90, 0.02);
}

}  // namespace
}  // namespace paring::serve
