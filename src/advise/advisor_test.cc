// SPDX-License-Identifier: Apache-2.0
#include "advise/advisor.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "advise/sample_for_test.h"
#include "base/random.h"

namespace paring::advise {
namespace {

const Advice* find(const AdviceReport& report, AdviceAction action) {
  const auto found = std::ranges::find(report.advice, action, &Advice::action);
  return found == report.advice.end() ? nullptr : &*found;
}

const PredictedMetric* find(const Advice& advice, AdviceMetric metric) {
  const auto found = std::ranges::find(advice.metrics, metric, &PredictedMetric::metric);
  return found == advice.metrics.end() ? nullptr : &*found;
}

TEST(Advisor, RepeatsSayCache) {
  SampleForTest make{.requests = 200, .distinct = 50};
  make.facts.engine.response_cache_bytes = 0;
  const TrafficSample sample = make.sample();
  const AdviceReport report = advise_on(sample, {.clients = 1});
  const Advice* const advice = find(report, AdviceAction::kResponseCache);
  ASSERT_NE(advice, nullptr);
  EXPECT_TRUE(advice->is_recommended);
  const PredictedMetric* const work = find(*advice, AdviceMetric::kWork);
  ASSERT_NE(work, nullptr);
  // What stays is the work of the first of each.
  EXPECT_NEAR(work->expected / work->now, make.distinct_share(), 0.01);
  EXPECT_LT(work->low, work->expected);
  EXPECT_GT(work->high, work->expected);
  EXPECT_NE(advice->evidence.find("of 200"), std::string::npos);
  EXPECT_FALSE(advice->commands.empty());
  EXPECT_FALSE(advice->change.empty());
}

TEST(Advisor, NothingIsAdvisedWithoutEvidence) {
  SampleForTest make{.requests = 100, .distinct = 100};
  make.facts.engine.response_cache_bytes = 0;
  const AdviceReport report = advise_on(make.sample(), {.clients = 1});
  EXPECT_EQ(find(report, AdviceAction::kResponseCache), nullptr);
  EXPECT_EQ(find(report, AdviceAction::kPrefixCache), nullptr);
  EXPECT_EQ(find(report, AdviceAction::kWeightType), nullptr) << "nothing was timed";
  SampleForTest cached{.requests = 100, .distinct = 20};
  EXPECT_EQ(find(advise_on(cached.sample(), {.clients = 1}), AdviceAction::kResponseCache), nullptr)
      << "it is on already";
}

TEST(Advisor, PromptsThatBeginAlikeSayPrefixCache) {
  SampleForTest make{.requests = 120, .distinct = 120, .instruction_blocks = 8};
  make.facts.engine.has_prefix_cache = false;
  const AdviceReport report = advise_on(make.sample(), {.clients = 2});
  const Advice* const advice = find(report, AdviceAction::kPrefixCache);
  ASSERT_NE(advice, nullptr);
  EXPECT_TRUE(advice->is_recommended);
  EXPECT_GT(advice->gain_low, kGainMin);
  EXPECT_LT(advice->gain_low, advice->gain);
  EXPECT_LT(advice->gain, advice->gain_high);
}

TEST(Advisor, FasterWeightsAreTakenAtTheirTimes) {
  SampleForTest make{.requests = 60, .distinct = 60};
  const TrafficSample sample = make.sample();
  AdvisorOptions options{.clients = 1};
  options.candidates.push_back({.name = "half",
                                .path = "",
                                .steps = {.decode_tokens = {1},
                                          .decode = {0.5},
                                          .decode_now_s = {0.01},
                                          .prompt_tokens = {8, 512},
                                          .prompt = {0.5, 0.9},
                                          .prompt_now_s = {0.01, 0.2}},
                                .weight_bytes = 0.5e8,
                                .loss = "some"});
  const AdviceReport report = advise_on(sample, options);
  const Advice* const advice = find(report, AdviceAction::kWeightType);
  ASSERT_NE(advice, nullptr);
  const PredictedMetric* const gap = find(*advice, AdviceMetric::kInterToken);
  ASSERT_NE(gap, nullptr);
  EXPECT_LT(gap->expected, 0.6 * gap->now);
  EXPECT_GT(gap->expected, 0.45 * gap->now);
  const PredictedMetric* const memory = find(*advice, AdviceMetric::kMemory);
  ASSERT_NE(memory, nullptr);
  EXPECT_NEAR(memory->now - memory->expected, 0.5e8, 1e6);
}

TEST(Advisor, WhatWasMeasuredOfPastAdviceMovesIntervals) {
  SampleForTest make{.requests = 200, .distinct = 50};
  make.facts.engine.response_cache_bytes = 0;
  const TrafficSample sample = make.sample();
  const auto width = [&](double residual) {
    AdvisorOptions options{.clients = 1};
    for (int i = 0; i < 20; ++i) {
      options.residuals.push_back({AdviceAction::kResponseCache, residual});
    }
    const AdviceReport report = advise_on(sample, options);
    const PredictedMetric* const metric =
        find(*find(report, AdviceAction::kResponseCache), AdviceMetric::kWork);
    return metric->high / metric->low;
  };
  EXPECT_GT(width(0.3), 1.3 * width(0.01));
}

TEST(Advisor, ABusyServerWantsAnotherOne) {
  SampleForTest make{.requests = 100, .distinct = 100, .seconds_between = 0.01};
  const AdviceReport report = advise_on(make.sample(), {.clients = 4, .usable_cores = 2});
  EXPECT_NE(find(report, AdviceAction::kReplicas), nullptr);
  make.seconds_between = 100;
  EXPECT_EQ(
      find(advise_on(make.sample(), {.clients = 4, .usable_cores = 2}), AdviceAction::kReplicas),
      nullptr);
}

}  // namespace
}  // namespace paring::advise
