// SPDX-License-Identifier: Apache-2.0
#include "serve/prompt_marks.h"

#include <gtest/gtest.h>

#include <numeric>
#include <set>

namespace paring::serve {
namespace {

constexpr SipKey kKey{1, 2};

AnswerPlan plan_of(std::size_t tokens) {
  AnswerPlan plan;
  plan.is_reproducible = true;
  engine::SequenceRequest sequence;
  sequence.prompt.resize(tokens);
  std::iota(sequence.prompt.begin(), sequence.prompt.end(), 100);
  sequence.sampling.temperature = 0;
  plan.sequences.push_back(sequence);
  return plan;
}

std::vector<std::uint8_t> first(const store::TrafficPromptMarks& marks, std::size_t blocks) {
  return {marks.blocks.begin(),
          marks.blocks.begin() + static_cast<std::ptrdiff_t>(blocks * store::kTrafficBlockBytes)};
}

TEST(PromptMarks, EqualRequestsHaveEqualOnes) {
  const store::TrafficPromptMarks one = marks_of(kKey, "t", plan_of(100));
  const store::TrafficPromptMarks two = marks_of(kKey, "t", plan_of(100));
  EXPECT_EQ(one.key, two.key);
  EXPECT_EQ(one.blocks, two.blocks);
  EXPECT_TRUE(one.is_repeatable);
  EXPECT_EQ(one.blocks.size(), 3 * store::kTrafficBlockBytes) << "whole blocks only";
}

TEST(PromptMarks, WhateverDecidesTheAnswerDecidesTheKey) {
  std::set<std::uint64_t> keys;
  const auto add = [&keys](const SipKey& key, const std::string& tenant, const AnswerPlan& plan) {
    keys.insert(marks_of(key, tenant, plan).key);
  };
  AnswerPlan plan = plan_of(100);
  add(kKey, "t", plan);
  add({1, 3}, "t", plan);
  add(kKey, "u", plan);
  plan.sequences[0].max_tokens += 1;
  add(kKey, "t", plan);
  plan = plan_of(100);
  plan.sequences[0].prompt.back() += 1;
  add(kKey, "t", plan);
  plan = plan_of(100);
  plan.sequences[0].sampling.temperature = 0.5;
  add(kKey, "t", plan);
  plan = plan_of(100);
  plan.stop = {"x"};
  add(kKey, "t", plan);
  add(kKey, "t", plan_of(101));
  plan = plan_of(100);
  plan.is_reproducible = false;
  EXPECT_FALSE(marks_of(kKey, "t", plan).is_repeatable);
  EXPECT_EQ(keys.size(), 8U);
}

TEST(PromptMarks, BlocksTellHowFarPromptsAreAlike) {
  const store::TrafficPromptMarks whole = marks_of(kKey, "t", plan_of(128));
  AnswerPlan plan = plan_of(128);
  plan.sequences[0].prompt[70] = 5;
  const store::TrafficPromptMarks other = marks_of(kKey, "t", plan);
  EXPECT_EQ(first(other, 2), first(whole, 2));
  std::set<std::vector<std::uint8_t>> tails;
  for (const auto* marks : {&whole, &other}) {
    for (std::size_t block = 2; block < 4; ++block) {
      const auto begin =
          marks->blocks.begin() + static_cast<std::ptrdiff_t>(block * store::kTrafficBlockBytes);
      tails.emplace(begin, begin + store::kTrafficBlockBytes);
    }
  }
  EXPECT_EQ(tails.size(), 4U) << "a block tells what stands in front of it too";
  plan = plan_of(128);
  plan.sequences[0].prefix_scope = 9;
  EXPECT_NE(first(marks_of(kKey, "t", plan), 1), first(whole, 1)) << "scopes share nothing";
}

TEST(PromptMarks, LongPromptsHaveABound) {
  const auto tokens = (store::kTrafficBlocksMax + 5) * store::kTrafficBlockTokens;
  EXPECT_EQ(marks_of(kKey, "t", plan_of(tokens)).blocks.size(),
            store::kTrafficBlocksMax * store::kTrafficBlockBytes);
  EXPECT_TRUE(marks_of(kKey, "t", plan_of(31)).blocks.empty());
  EXPECT_EQ(marks_of(kKey, "t", AnswerPlan()).key, 0U);
}

}  // namespace
}  // namespace paring::serve
