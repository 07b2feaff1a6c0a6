// SPDX-License-Identifier: Apache-2.0
#include "shrink/time_plan.h"

#include <gtest/gtest.h>

namespace paring::shrink {
namespace {

constexpr JudgeCosts kCosts{.window_seconds = 0.5, .publish_seconds = 2, .speed_seconds = 10};

TEST(TimePlan, TheSearchEndsEarlyEnoughToJudgeItsAnswer) {
  FakeClock clock;
  const TimePlan plan(0, 180, clock);
  const double judge = TimePlan::kPasses * kCosts.window_seconds * 12;
  EXPECT_LE(plan.search_end(kCosts, 12, false) + judge + kCosts.publish_seconds + 10, plan.end());
  EXPECT_LT(plan.search_end(kCosts, 12, true), plan.search_end(kCosts, 12, false));
}

TEST(TimePlan, ASlowMachineNeverLeavesTheSearchWithoutTime) {
  FakeClock clock;
  const TimePlan plan(0, 180, clock);
  const JudgeCosts slow{.window_seconds = 60, .publish_seconds = 60, .speed_seconds = 600};
  EXPECT_GE(plan.search_end(slow, 12, true), plan.encodings_end());
  EXPECT_LT(plan.statistics_end(), plan.encodings_end());
}

TEST(TimePlan, TheJudgeReadsLessTextWhenTimeIsShortButNeverTooLittle) {
  FakeClock clock;
  const TimePlan plan(0, 180, clock);
  EXPECT_EQ(plan.holdout_windows(kCosts, 12), 12U);
  clock.advance(150);
  const std::size_t some = plan.holdout_windows(kCosts, 12);
  EXPECT_LT(some, 12U);
  EXPECT_GT(some, TimePlan::kHoldoutWindowsMin);
  clock.advance(100);
  EXPECT_TRUE(plan.is_over());
  EXPECT_EQ(plan.left(), 0);
  EXPECT_EQ(plan.holdout_windows(kCosts, 12), TimePlan::kHoldoutWindowsMin);
  EXPECT_EQ(plan.holdout_windows(kCosts, 3), 3U);
}

TEST(TimePlan, SpeedsAreTimedOnLessWhenTimeIsShort) {
  FakeClock clock;
  const TimePlan plan(0, 100, clock);
  const measure::BenchOptions full;
  EXPECT_EQ(plan.speed_options(full, 5, 1).repetitions, full.repetitions);
  clock.advance(80);
  const measure::BenchOptions fewer = plan.speed_options(full, 5, 1);
  EXPECT_LT(fewer.repetitions, full.repetitions);
  EXPECT_EQ(fewer.decode_tokens, full.decode_tokens);
  clock.advance(19);
  const measure::BenchOptions least = plan.speed_options(full, 5, 1);
  EXPECT_EQ(least.repetitions, 1U);
  EXPECT_LT(least.prefill_tokens, full.prefill_tokens);
  EXPECT_GT(least.decode_tokens, 0U);
}

}  // namespace
}  // namespace paring::shrink
