// SPDX-License-Identifier: Apache-2.0
#include "serve/step_history.h"

#include <gtest/gtest.h>

namespace paring::serve {
namespace {

constexpr double kStart = 60.0 * 1000;

StepTotals step(double seconds) {
  return {.steps = 1, .tokens = 2, .seconds = seconds, .operations = 10, .bytes = 5};
}

double seconds_of(const std::vector<StepMinute>& minutes, StepKind kind) {
  double sum = 0;
  for (const StepMinute& each : minutes) sum += each.kinds[static_cast<std::size_t>(kind)].seconds;
  return sum;
}

TEST(StepHistory, AddsUpByMinuteAndKind) {
  StepHistory history;
  history.add(kStart + 1, StepKind::kPrefill, step(0.25));
  history.add(kStart + 59, StepKind::kPrefill, step(0.5));
  history.add(kStart + 61, StepKind::kDecode, step(1));
  const auto minutes = history.last(kStart + 70, 5);
  ASSERT_EQ(minutes.size(), 2U);
  EXPECT_EQ(minutes[0].minute, 1000);
  const StepTotals& prefill = minutes[0].kinds[static_cast<std::size_t>(StepKind::kPrefill)];
  EXPECT_EQ(prefill.steps, 2);
  EXPECT_EQ(prefill.tokens, 4);
  EXPECT_EQ(prefill.seconds, 0.75);
  EXPECT_EQ(prefill.operations, 20);
  EXPECT_EQ(prefill.bytes, 10);
  EXPECT_EQ(minutes[1].minute, 1001);
  EXPECT_EQ(seconds_of(minutes, StepKind::kDecode), 1);
  EXPECT_EQ(seconds_of(minutes, StepKind::kMixed), 0);
}

TEST(StepHistory, GivesTheLastMinutesOnlyAndForgetsOlderOnes) {
  StepHistory history;
  constexpr int kMinutes = 3 * static_cast<int>(kHistoryMinutes);
  for (int i = 0; i < kMinutes; ++i) history.add(kStart + 60.0 * i, StepKind::kDecode, step(1));
  const double now = kStart + 60.0 * (kMinutes - 1) + 30;
  EXPECT_EQ(history.last(now, kHistoryMinutes).size(), kHistoryMinutes);
  const auto three = history.last(now, 2);  // half of the first of them is older
  ASSERT_EQ(three.size(), 3U);
  EXPECT_LT(three[0].minute, three[2].minute);
  EXPECT_EQ(seconds_of(three, StepKind::kDecode), 3);
  EXPECT_TRUE(history.last(now + 3600 * 24, 5).empty());
}

TEST(StepHistory, AClockThatGoesBackLosesNothing) {
  StepHistory history;
  history.add(kStart + 600, StepKind::kMixed, step(1));
  history.add(kStart, StepKind::kMixed, step(2));
  EXPECT_EQ(seconds_of(history.last(kStart + 600, 5), StepKind::kMixed), 3);
}

}  // namespace
}  // namespace paring::serve
