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

TEST(Advisor, WideKeysAndValuesSayANarrowerType) {
  SampleForTest make{.requests = 60, .distinct = 60};
  make.facts.kv_type = "f16";
  make.facts.kv_bytes_per_token = 10000;
  const TrafficSample sample = make.sample();
  const AdviceReport report = advise_on(sample, {.clients = 2, .free_bytes = 1e6});
  const Advice* const advice = find(report, AdviceAction::kKvType);
  ASSERT_NE(advice, nullptr);
  EXPECT_NE(advice->change.find("q8"), std::string::npos);
  EXPECT_TRUE(advice->is_recommended);
  // With memory to spare nobody gives up quality for it.
  const AdviceReport roomy = advise_on(sample, {.clients = 2, .free_bytes = 1e12});
  EXPECT_FALSE(find(roomy, AdviceAction::kKvType)->is_recommended);
  make.facts.kv_type = "q4";
  EXPECT_EQ(find(advise_on(make.sample(), {.clients = 2}), AdviceAction::kKvType), nullptr);
}

TEST(Advisor, ClientsThatWaitForATurnSayMoreSequences) {
  SampleForTest make{.requests = 100, .distinct = 100};
  make.facts.engine.sequences_max = 1;
  const AdviceReport report = advise_on(make.sample(), {.clients = 8});
  const Advice* const advice = find(report, AdviceAction::kSequences);
  ASSERT_NE(advice, nullptr);
  EXPECT_TRUE(advice->is_recommended);
  make.facts.engine.sequences_max = 64;
  EXPECT_EQ(find(advise_on(make.sample(), {.clients = 8}), AdviceAction::kSequences), nullptr);
}

TEST(Advisor, GuessesThatAreWrongSayNoSpeculation) {
  SampleForTest make{.requests = 60, .distinct = 60};
  make.facts.has_speculation = true;
  TrafficSample sample = make.sample();
  EXPECT_EQ(find(advise_on(sample, {.clients = 1}), AdviceAction::kSpeculation), nullptr);
  for (ReplayRequest& request : sample.requests) {
    request.drafted = 20 * request.answer_tokens;
    request.accepted = 0;
  }
  const AdviceReport report = advise_on(sample, {.clients = 1});
  const Advice* const advice = find(report, AdviceAction::kSpeculation);
  ASSERT_NE(advice, nullptr);
  EXPECT_GT(advice->gain, 0);
}

TEST(Advisor, FewLongPromptsSayTrimmingButDoNotRecommendIt) {
  SampleForTest make{.requests = 100, .distinct = 100};
  TrafficSample sample = make.sample();
  EXPECT_EQ(find(advise_on(sample, {.clients = 1}), AdviceAction::kContextTrimming), nullptr);
  for (std::size_t i = 0; i < sample.requests.size(); i += 10) {
    sample.requests[i].prompt_tokens = 1500;
  }
  const AdviceReport report = advise_on(sample, {.clients = 1});
  const Advice* const advice = find(report, AdviceAction::kContextTrimming);
  ASSERT_NE(advice, nullptr);
  EXPECT_GT(advice->gain, 0);
  EXPECT_FALSE(advice->is_recommended);
}

TEST(Advisor, IdleCoresSayThreadsAndBusyOnesMore) {
  SampleForTest make{.requests = 100, .distinct = 100, .seconds_between = 0.01};
  make.facts.threads = 1;
  AdviceReport report = advise_on(make.sample(), {.clients = 4, .usable_cores = 4});
  EXPECT_NE(find(report, AdviceAction::kThreads), nullptr);
  EXPECT_EQ(find(report, AdviceAction::kCores), nullptr);
  make.facts.threads = 4;
  report = advise_on(make.sample(), {.clients = 4, .usable_cores = 4});
  EXPECT_EQ(find(report, AdviceAction::kThreads), nullptr);
  const Advice* const more = find(report, AdviceAction::kCores);
  ASSERT_NE(more, nullptr);
  EXPECT_NE(more->title.find('8'), std::string::npos);
  make.seconds_between = 100;
  const AdviceReport idle = advise_on(make.sample(), {.clients = 4, .usable_cores = 4});
  const Advice* const fewer = find(idle, AdviceAction::kCores);
  ASSERT_NE(fewer, nullptr);
  EXPECT_FALSE(fewer->is_recommended);
}

TEST(Advisor, ACacheThatIsNeverFullSaysLessMemory) {
  SampleForTest make{.requests = 60, .distinct = 60};
  make.facts.engine.cache_tokens = 100000;
  make.facts.engine.has_prefix_cache = false;
  make.facts.extra_bytes = 2e8;
  make.facts.resident_bytes = 3e8;
  const AdviceReport report = advise_on(make.sample(), {.clients = 1});
  const Advice* const advice = find(report, AdviceAction::kMemorySize);
  ASSERT_NE(advice, nullptr);
  EXPECT_EQ(advice->gain_metric, AdviceMetric::kMemory);
  make.facts.engine.cache_tokens = 2048;
  EXPECT_EQ(find(advise_on(make.sample(), {.clients = 1}), AdviceAction::kMemorySize), nullptr);
}

TEST(Advisor, DepthIsThatOfGeneratedTokens) {
  TrafficSample sample;
  EXPECT_EQ(mean_depth(sample), 0);
  sample.requests = {{.prompt_tokens = 100, .answer_tokens = 10},
                     {.prompt_tokens = 1000, .answer_tokens = 30}};
  EXPECT_DOUBLE_EQ(mean_depth(sample), (10 * 105.0 + 30 * 1015.0) / 40);
}

}  // namespace
}  // namespace paring::advise
