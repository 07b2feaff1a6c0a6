// SPDX-License-Identifier: Apache-2.0
#include "serve/canary/trial.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace paring::serve {
namespace {

constexpr TrialSide kBefore = TrialSide::kBefore;
constexpr TrialSide kChanged = TrialSide::kChanged;

class TrialTest : public testing::Test {
 protected:
  static TrialRules rules() {
    return {.goal = TrialMetric::kFirstToken,
            .requests_min = 50,
            .seconds_min = 10,
            .seconds_max = 100};
  }
  TrialRequest request(double first_token) {
    const double spread = 0.8 + 0.4 * random_.uniform();
    return {.first_token_seconds = first_token * spread,
            .gap_seconds = 0.02 * spread,
            .total_seconds = 1,
            .work_seconds = 0.5,
            .answer_tokens = 20};
  }
  void add_both(Trial& trial, int count, double before, double after) {
    for (int i = 0; i < count; ++i) {
      trial.add(kBefore, request(before));
      trial.add(kChanged, request(after));
    }
  }
  RandomStream random_{{.seed = 3}};
};

TEST_F(TrialTest, AGainIsKeptWhenThereIsEnoughOfBothAndNotBefore) {
  Trial trial(rules(), 1000);
  add_both(trial, 49, 0.4, 0.2);
  EXPECT_EQ(trial.look(1050).verdict, TrialVerdict::kRunning) << "too few requests";
  add_both(trial, 1, 0.4, 0.2);
  EXPECT_EQ(trial.look(1009).verdict, TrialVerdict::kRunning) << "too short";
  const TrialOutcome outcome = trial.look(1011);
  EXPECT_EQ(outcome.verdict, TrialVerdict::kKept) << outcome.reason;
  EXPECT_NE(outcome.reason.find("first_token_seconds"), std::string::npos) << outcome.reason;
  for (const TrialMeasure& measure : trial.measures()) {
    if (measure.name != "first_token_seconds") continue;
    EXPECT_NEAR(measure.before, 0.4, 0.03);
    EXPECT_NEAR(measure.after, 0.2, 0.02);
    EXPECT_LT(measure.low, measure.after);
    EXPECT_GT(measure.high, measure.after);
    EXPECT_EQ(measure.count, 50);
  }
}

TEST_F(TrialTest, AGainBelowWhatIsAskedForIsNone) {
  TrialRules strict = rules();
  strict.gain_min = 0.6;
  Trial trial(strict, 0);
  add_both(trial, 50, 0.4, 0.2);
  EXPECT_EQ(trial.look(20).verdict, TrialVerdict::kRolledBack);
}

TEST_F(TrialTest, WhatIsTheSameIsInconclusiveAndWhatIsWorseIsRolledBack) {
  Trial same(rules(), 0);
  add_both(same, 50, 0.4, 0.4);
  EXPECT_EQ(same.look(20).verdict, TrialVerdict::kInconclusive);
  Trial worse(rules(), 0);
  add_both(worse, 50, 0.4, 0.48);  // within what is allowed, but no gain
  const TrialOutcome outcome = worse.look(20);
  EXPECT_EQ(outcome.verdict, TrialVerdict::kRolledBack);
  EXPECT_NE(outcome.reason.find("no gain"), std::string::npos) << outcome.reason;
}

TEST_F(TrialTest, WithoutEnoughRequestsTimeEndsIt) {
  Trial trial(rules(), 0);
  add_both(trial, 3, 0.4, 0.1);
  EXPECT_EQ(trial.look(99).verdict, TrialVerdict::kRunning);
  const TrialOutcome outcome = trial.look(100);
  EXPECT_EQ(outcome.verdict, TrialVerdict::kInconclusive);
  EXPECT_NE(outcome.reason.find("50 of each"), std::string::npos) << outcome.reason;
}

TEST_F(TrialTest, FailuresEndItAtOnce) {
  Trial trial(rules(), 0);
  int requests = 0;
  TrialOutcome outcome;
  while (outcome.verdict == TrialVerdict::kRunning && requests < 50) {
    trial.add(kBefore, request(0.4));
    trial.add(kChanged, {.has_failed = true});
    ++requests;
    outcome = trial.look(1);
  }
  EXPECT_EQ(outcome.verdict, TrialVerdict::kRolledBack);
  EXPECT_LE(requests, 8) << "of 7 each, all of one side failed: p = 1/3432";
  EXPECT_NE(outcome.reason.find("failed"), std::string::npos);
}

TEST_F(TrialTest, WhenBothFailAlikeTheChangeIsNotToBlame) {
  Trial trial(rules(), 0);
  for (int i = 0; i < 49; ++i) {
    const bool fails = i % 3 == 0;
    for (const TrialSide side : {kBefore, kChanged}) {
      TrialRequest each = request(0.4);
      each.has_failed = fails;
      trial.add(side, each);
    }
    ASSERT_EQ(trial.look(1).verdict, TrialVerdict::kRunning) << i;
  }
  EXPECT_EQ(trial.count(kChanged).failed, 17);
}

TEST_F(TrialTest, SlowFirstTokensEndItBeforeItsTime) {
  Trial trial(rules(), 0);
  int requests = 0;
  TrialOutcome outcome;
  while (outcome.verdict == TrialVerdict::kRunning && requests < 50) {
    add_both(trial, 1, 0.4, 1.2);
    ++requests;
    outcome = trial.look(1);
  }
  EXPECT_EQ(outcome.verdict, TrialVerdict::kRolledBack);
  EXPECT_GE(requests, 10);
  EXPECT_LT(requests, 20);
  EXPECT_NE(outcome.reason.find("first_token_seconds is"), std::string::npos) << outcome.reason;
}

TEST_F(TrialTest, SlowGapsAreGuardedAsWellAndTheLimitIsTheOnesAskedFor) {
  const auto verdict = [&](double slowdown_max) {
    TrialRules wide = rules();
    wide.slowdown_max = slowdown_max;
    Trial trial(wide, 0);
    for (int i = 0; i < 49; ++i) {
      TrialRequest slow = request(0.4);
      slow.gap_seconds = *slow.gap_seconds * 2;
      trial.add(kBefore, request(0.4));
      trial.add(kChanged, slow);
    }
    return trial.look(1).verdict;
  };
  EXPECT_EQ(verdict(1.3), TrialVerdict::kRolledBack);
  EXPECT_EQ(verdict(2.5), TrialVerdict::kRunning);
}

TEST_F(TrialTest, MemoryIsKnownExactly) {
  TrialRules memory = rules();
  memory.goal = TrialMetric::kMemory;
  Trial trial(memory, 0);
  trial.set_memory(1000, 990);
  add_both(trial, 50, 0.4, 0.4);
  EXPECT_EQ(trial.look(20).verdict, TrialVerdict::kKept);
}

TEST_F(TrialTest, WorseScoresEndItWhicheverWayIsWorse) {
  const auto verdict = [&](const char* score, double before, double after) {
    Trial trial(rules(), 0);
    add_both(trial, 20, 0.4, 0.4);
    for (int i = 0; i < 20; ++i) {
      trial.add_score(kBefore, score, before + random_.uniform());
      trial.add_score(kChanged, score, after + random_.uniform());
    }
    return trial.look(1).verdict;
  };
  EXPECT_EQ(verdict("rating", 5, 3), TrialVerdict::kRolledBack);
  EXPECT_EQ(verdict("rating", 3, 5), TrialVerdict::kRunning);
  EXPECT_EQ(verdict("live_kl", 5, 3), TrialVerdict::kRunning);
  EXPECT_EQ(verdict("live_kl", 3, 5), TrialVerdict::kRolledBack);
  EXPECT_EQ(verdict("beauty", 5, 3), TrialVerdict::kRunning) << "nobody asked for it";
}

TEST_F(TrialTest, ScoresAreMeasured) {
  Trial trial(rules(), 0);
  for (int i = 0; i < 30; ++i) {
    trial.add_score(kBefore, "rating", i % 2);
    trial.add_score(kChanged, "rating", i % 3 == 0 ? 0 : 1);
  }
  const auto measures = trial.measures();
  ASSERT_EQ(measures.size(), 1U);
  EXPECT_EQ(measures[0].name, "score:rating");
  EXPECT_DOUBLE_EQ(measures[0].before, 0.5);
  EXPECT_NEAR(measures[0].after, 2.0 / 3, 1e-12);
  EXPECT_NEAR(measures[0].high - measures[0].after, 0.215, 0.01);
}

// Of harmless trials, about one in twenty may end falsely, not more.
TEST_F(TrialTest, LookingOftenDoesNotCondemnTheInnocent) {
  constexpr int kTrials = 300;
  int condemned = 0;
  for (int t = 0; t < kTrials; ++t) {
    TrialRules tight = rules();
    tight.requests_min = 1000;
    tight.slowdown_max = 1;  // any slowness counts, and there is none
    Trial trial(tight, 0);
    for (int i = 0; i < 300; ++i) {
      for (const TrialSide side : {kBefore, kChanged}) {
        TrialRequest each = request(0.4);
        each.has_failed = random_.uniform() < 0.05;
        trial.add(side, each);
      }
      if (trial.look(1).verdict == TrialVerdict::kRunning) continue;
      ++condemned;
      break;
    }
  }
  EXPECT_LE(condemned, kTrials * 8 / 100) << condemned;
}

TEST(TrialMetrics, NamesAreFoundAgain) {
  for (std::size_t i = 0; i < kTrialMetrics; ++i) {
    const auto metric = static_cast<TrialMetric>(i);
    EXPECT_EQ(find_trial_metric(trial_metric_name(metric)), metric);
  }
  EXPECT_FALSE(find_trial_metric("speed"));
  EXPECT_FALSE(is_less_better(TrialMetric::kThroughput));
  EXPECT_TRUE(is_less_better(TrialMetric::kFirstToken));
}

}  // namespace
}  // namespace paring::serve
