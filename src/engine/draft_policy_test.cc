// SPDX-License-Identifier: Apache-2.0
#include "engine/draft_policy.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace paring::engine {
namespace {

using Counts = std::vector<std::size_t>;
using Chances = std::vector<std::vector<double>>;

// Steps of `sequences` whose time grows by `slope` of a plain one's for each guess.
StepTimes times_of(std::size_t sequences, double slope) {
  StepTimes times;
  for (std::size_t k = 0; k <= 16; ++k) {
    times.observe(sequences, sequences + k, 0.01 * (1 + slope * static_cast<double>(k)));
  }
  return times;
}

TEST(DraftPolicy, ChecksGuessesWhileTheyPay) {
  const Chances sure = {{0.9, 0.9, 0.9, 0.9, 0.9, 0.9}};
  EXPECT_EQ(choose_guesses(times_of(1, 0.05), sure, 16), Counts{6});
  EXPECT_EQ(choose_guesses(times_of(1, 0.05), sure, 4), Counts{4}) << "no more rows than there are";
  // The best k of (1 + sum of 0.9^i) / (1 + 0.5 k) by hand: 1.27, 1.36, 1.38, 1.37, ...
  EXPECT_EQ(choose_guesses(times_of(1, 0.5), sure, 16), Counts{3});
  EXPECT_EQ(choose_guesses(times_of(1, 1.0), sure, 16), Counts{0});
  EXPECT_EQ(choose_guesses(times_of(1, 0.05), Chances{{0.02, 0.9}}, 16), Counts{0});
}

TEST(DraftPolicy, TheLikeliestOfABatchGoFirst) {
  const Chances chances = {{0.9, 0.8}, {0.2, 0.9}, {0.95, 0.1}};
  EXPECT_EQ(choose_guesses(times_of(3, 0.1), chances, 3), (Counts{2, 0, 1}));
}

TEST(DraftPolicy, NothingIsCheckedBeforeAPlainStepIsKnown) {
  EXPECT_EQ(choose_guesses(StepTimes(), Chances{{0.99}}, 16), Counts{0});
}

TEST(StepTimes, UnknownWidthsLookCheapUntilTheyAreKnown) {
  StepTimes times;
  times.observe(1, 1, 0.010);
  EXPECT_LT(times.seconds(1, 4), 0.012);
  times.observe(1, 4, 0.030);
  EXPECT_DOUBLE_EQ(times.seconds(1, 4), 0.030);
  EXPECT_NEAR(times.seconds(1, 2), 0.0167, 0.001) << "between known widths";
  EXPECT_GT(times.seconds(1, 5), 0.030);
  EXPECT_EQ(times.seconds(2, 2), 0);
}

TEST(StepTimes, FollowTheMachineAndForget) {
  StepTimes times;
  times.observe(1, 1, 0.010);
  times.observe(1, 1, 10.0);  // one hiccup
  EXPECT_LT(times.seconds(1, 1), 0.012);
  for (int i = 0; i < 60; ++i) times.observe(1, 1, 0.020);
  EXPECT_NEAR(times.seconds(1, 1), 0.020, 0.001);
  times.observe(1, 3, 0.5);
  for (std::uint64_t i = 0; i < StepTimes::kStepsKept; ++i) times.observe(1, 1, 0.020);
  EXPECT_FALSE(times.knows(1, 3));
  EXPECT_LT(times.seconds(1, 3), 0.03) << "an old time is not believed";
}

TEST(GuessRecord, LearnsEachCertaintyFromTheUsual) {
  GuessRecord usual;
  for (int i = 0; i < 100; ++i) {
    usual.observe(2, i % 10 != 0);
    usual.observe(1, i % 10 == 0);
  }
  EXPECT_NEAR(usual.chance(2, nullptr), 0.9, 0.06);
  EXPECT_NEAR(usual.chance(1, nullptr), 0.1, 0.06);
  EXPECT_DOUBLE_EQ(usual.chance(0, nullptr), 0.5);
  GuessRecord own;
  EXPECT_DOUBLE_EQ(own.chance(2, &usual), usual.chance(2, nullptr));
  for (int i = 0; i < 40; ++i) own.observe(2, false);
  EXPECT_LT(own.chance(2, &usual), 0.2);
}

}  // namespace
}  // namespace paring::engine
