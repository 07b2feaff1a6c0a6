// SPDX-License-Identifier: Apache-2.0
#include "engine/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>

namespace paring::engine {
namespace {

const std::vector<float> kLogits = {0.0F, 2.0F, 1.0F, 2.0F, -1.0F};

std::map<std::int32_t, int> draw(const api::Sampling& sampling, int count) {
  Sampler sampler(sampling, 1);
  std::map<std::int32_t, int> counts;
  for (int i = 0; i < count; ++i)
    ++counts[sampler.sample(kLogits, {}, static_cast<std::uint64_t>(i))];
  return counts;
}

TEST(Sampler, GreedyTakesTheFirstOfTheMostLikely) {
  EXPECT_EQ(Sampler({}, 0).sample(kLogits, {}, 0), 1);
}

TEST(Sampler, FollowsTheSoftmax) {
  api::Sampling sampling;
  sampling.temperature = 1.0;
  sampling.top_k = 0;
  const int count = 40000;
  const auto counts = draw(sampling, count);
  double total = 0;
  for (const float logit : kLogits) total += std::exp(logit);
  for (std::size_t i = 0; i < kLogits.size(); ++i) {
    const double expected = std::exp(kLogits[i]) / total;
    EXPECT_NEAR(counts.at(static_cast<std::int32_t>(i)) / double{count}, expected, 0.01);
  }
}

TEST(Sampler, TopKTopPAndMinPCutTheTail) {
  api::Sampling sampling;
  sampling.temperature = 1.0;
  sampling.top_k = 2;
  EXPECT_EQ(draw(sampling, 500).size(), 2U);
  sampling.top_k = 0;
  sampling.top_p = 0.5;  // the two at 2.0 hold 0.78: the first alone 0.39
  EXPECT_EQ(draw(sampling, 500).size(), 2U);
  sampling.top_p = 1.0;
  sampling.min_p = 0.3;  // exp(-1) = 0.37 stays, exp(-2) = 0.14 goes
  EXPECT_EQ(draw(sampling, 2000).size(), 3U);
}

TEST(Sampler, SameSeedAndPositionGiveTheSameToken) {
  api::Sampling sampling;
  sampling.temperature = 1.5;
  sampling.seed = 42;
  Sampler a(sampling, 9);
  Sampler b(sampling, 9);
  for (std::uint64_t i = 0; i < 100; ++i) b.sample(kLogits, {}, 1000 + i);
  for (std::uint64_t i = 0; i < 100; ++i) {
    EXPECT_EQ(a.sample(kLogits, {}, i), b.sample(kLogits, {}, i));
  }
}

TEST(Sampler, ThePenaltyLowersWhatWasSaid) {
  api::Sampling sampling;
  sampling.repetition_penalty = 3.0;
  const std::int32_t said[] = {1, 1, 3};
  EXPECT_EQ(Sampler(sampling, 0).sample(kLogits, said, 0), 2);
}

TEST(Sampler, FrequencyAndPresenceCountTheAnswerAlone) {
  api::Sampling sampling;
  sampling.frequency_penalty = 0.6;
  const std::int32_t said[] = {1, 3, 3};
  EXPECT_EQ(Sampler(sampling, 0, 3).sample(kLogits, said, 0), 1) << "all of it is the prompt";
  EXPECT_EQ(Sampler(sampling, 0, 1).sample(kLogits, said, 0), 1);
  EXPECT_EQ(Sampler(sampling, 0, 0).sample(kLogits, said, 0), 1) << "1.4 against 0.8";
  sampling.frequency_penalty = 0;
  sampling.presence_penalty = 1.5;
  EXPECT_EQ(Sampler(sampling, 0, 0).sample(kLogits, said, 0), 2);
}

TEST(Sampler, BiasForbidsAndForces) {
  api::Sampling sampling;
  sampling.logit_bias = {{1, -100.0F}};
  EXPECT_EQ(Sampler(sampling, 0).sample(kLogits, {}, 0), 3);
  sampling.logit_bias = {{4, 100.0F}};
  sampling.temperature = 1;
  sampling.top_k = 0;
  EXPECT_EQ(draw(sampling, 100).size(), 1U);
  sampling.logit_bias.resize(kLogitBiasMax + 1);
  EXPECT_FALSE(check_sampling(sampling));
}

TEST(Sampler, OnlyAllowedTokensAreDrawn) {
  const std::uint32_t words[] = {0b10101};
  const TokenSet allowed(words);
  api::Sampling sampling;
  EXPECT_EQ(Sampler(sampling, 0).sample(kLogits, {}, 0, &allowed), 2);
  sampling.temperature = 50;
  sampling.top_k = 0;
  std::map<std::int32_t, int> counts;
  for (std::uint64_t i = 0; i < 300; ++i) {
    ++counts[Sampler(sampling, 1).sample(kLogits, {}, i, &allowed)];
  }
  EXPECT_EQ(counts.size(), 3U);
  EXPECT_FALSE(counts.contains(1));
  EXPECT_FALSE(counts.contains(3));
}

TEST(Sampler, LogprobsAreTheSoftmaxes) {
  double total = 0;
  for (const float logit : kLogits) total += std::exp(logit);
  const api::TokenLogprobs told = logprobs_of(kLogits, 4, 3);
  EXPECT_EQ(told.token.token, 4);
  EXPECT_NEAR(told.token.logprob, -1 - std::log(total), 1e-5);
  ASSERT_EQ(told.top.size(), 3U);
  EXPECT_EQ(told.top[0].token, 1);
  EXPECT_EQ(told.top[1].token, 3);
  EXPECT_EQ(told.top[2].token, 2);
  EXPECT_NEAR(told.top[2].logprob, 1 - std::log(total), 1e-5);
  EXPECT_EQ(logprobs_of(kLogits, 0, 20).top.size(), kLogits.size());
}

TEST(Sampler, RefusesSettingsOutOfBoundsByName) {
  api::Sampling sampling;
  sampling.top_p = 1.5;
  const auto result = check_sampling(sampling);
  ASSERT_FALSE(result);
  EXPECT_NE(result.error().message.find("top_p is 1.5"), std::string::npos);
  sampling.top_p = 1.0;
  sampling.temperature = std::numeric_limits<double>::quiet_NaN();
  EXPECT_FALSE(check_sampling(sampling));
}

}  // namespace
}  // namespace paring::engine
