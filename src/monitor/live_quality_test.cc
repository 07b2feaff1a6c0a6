// SPDX-License-Identifier: Apache-2.0
#include "monitor/live_quality.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "base/random.h"

namespace paring::monitor {
namespace {

measure::RescoredAnswer answer(std::size_t tokens, double kl_a_token, std::size_t same = 0) {
  return {.tokens = tokens,
          .kl_sum = kl_a_token * static_cast<double>(tokens),
          .kl_max = kl_a_token,
          .same_top = same,
          .first_changed = std::nullopt,
          .log_ratio = 0};
}

TEST(LiveQuality, WeighsTokensAndShowsNoIntervalOfFewAnswers) {
  LiveQuality quality({});
  quality.add(answer(10, 0.1, 10));
  quality.add(answer(90, 0.2, 45));
  const LiveStanding now = quality.standing();
  EXPECT_EQ(now.answers, 2);
  EXPECT_EQ(now.tokens, 100);
  EXPECT_NEAR(now.kl.mean, 0.19, 1e-12);
  EXPECT_NEAR(now.same_top.mean, 0.55, 1e-12);
  EXPECT_FALSE(now.kl.low);
  EXPECT_EQ(now.drift, Drift::kUncertified);
}

TEST(LiveQuality, AnAnswerWithoutTokensIsNone) {
  LiveQuality quality({});
  quality.add(answer(0, 0));
  EXPECT_EQ(quality.standing().answers, 0);
  EXPECT_EQ(quality.standing().kl.mean, 0);
}

// Answers that differ from each other more than their tokens do: the truth must lie within 95 % of
// intervals, about.
TEST(LiveQuality, IntervalsCoverTheTruthWhereTokensOfAnAnswerAreAlike) {
  RandomStream random({7, 1, 0});
  constexpr int kRounds = 400;
  int covered = 0;
  for (int round = 0; round < kRounds; ++round) {
    LiveQuality quality({});
    for (int i = 0; i < 60; ++i) {
      const std::size_t tokens = 20 + random.below(100);
      quality.add(answer(tokens, 0.05 * std::exp(0.5 * random.normal() - 0.125)));
    }
    const LiveStanding now = quality.standing();
    ASSERT_TRUE(now.kl.low && now.kl.high);
    if (*now.kl.low <= 0.05 && 0.05 <= *now.kl.high) ++covered;
  }
  EXPECT_GE(covered, kRounds * 90 / 100);
  EXPECT_LE(covered, kRounds * 99 / 100);
}

TEST(LiveQuality, AlarmsWhenItDriftsAndEndsTheAlarmOnce) {
  LiveQuality quality({.certified_kl = 0.02, .drift_factor = 2, .window_answers = 50});
  EXPECT_EQ(quality.standing().drift, Drift::kLearning);
  RandomStream random({9, 1, 0});
  int changes = 0;
  const auto feed = [&](double kl, int count) {
    for (int i = 0; i < count; ++i) {
      if (quality.add(answer(40, kl * (0.5 + random.uniform())))) ++changes;
    }
  };
  feed(0.02, 29);
  EXPECT_EQ(quality.standing().drift, Drift::kLearning);
  feed(0.02, 100);
  EXPECT_EQ(quality.standing().drift, Drift::kKept);
  EXPECT_EQ(changes, 0);
  feed(0.2, 50);
  EXPECT_EQ(quality.standing().drift, Drift::kDrifted);
  EXPECT_EQ(changes, 1);
  feed(0.02, 100);
  EXPECT_EQ(quality.standing().drift, Drift::kKept);
  EXPECT_EQ(changes, 2);
}

// Around the bound itself it does not come and go with each answer.
TEST(LiveQuality, DoesNotFlapAtTheBound) {
  LiveQuality quality({.certified_kl = 0.02, .drift_factor = 2, .window_answers = 200});
  RandomStream random({11, 1, 0});
  int changes = 0;
  for (int i = 0; i < 5000; ++i) {
    if (quality.add(answer(40, 0.04 * (0.5 + random.uniform())))) ++changes;
  }
  EXPECT_LE(changes, 40);  // 5,000 answers around it would cross the mean hundreds of times
}

TEST(LiveQuality, KeepsAWindowAndCountsForever) {
  LiveQuality quality({.window_answers = 10});
  for (int i = 0; i < 25; ++i) quality.add(answer(2, i < 15 ? 1 : 0.5));
  const LiveStanding now = quality.standing();
  EXPECT_EQ(now.answers, 25);
  EXPECT_EQ(now.window_answers, 10);
  EXPECT_NEAR(now.kl.mean, 0.5, 1e-12);
}

TEST(LiveQuality, NamesEveryDrift) {
  EXPECT_EQ(drift_name(Drift::kUncertified), std::string("uncertified"));
  EXPECT_EQ(drift_name(Drift::kDrifted), std::string("drifted"));
}

}  // namespace
}  // namespace paring::monitor
