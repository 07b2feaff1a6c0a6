// SPDX-License-Identifier: Apache-2.0
#include "model/experts.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace paring::model {
namespace {

struct Choice {
  std::vector<std::uint32_t> experts;
  std::vector<float> weights;
};

Choice choose(const ExpertSpec& spec, const std::vector<float>& scores) {
  Choice choice{std::vector<std::uint32_t>(spec.used), std::vector<float>(spec.used)};
  choose_experts(spec, scores.data(), choice.experts.data(), choice.weights.data());
  return choice;
}

using Numbers = std::vector<std::uint32_t>;

TEST(Experts, TheBestAreChosenAndAscend) {
  const std::vector<float> scores = {0.5F, -1.0F, 3.0F, 2.0F, -7.0F, 2.5F};
  const Choice choice = choose({.count = 6, .used = 3}, scores);
  EXPECT_EQ(choice.experts, (Numbers{2, 3, 5}));
  const double sum = std::exp(3.0) + std::exp(2.0) + std::exp(2.5);
  EXPECT_FLOAT_EQ(choice.weights[0], static_cast<float>(std::exp(3.0) / sum));
  EXPECT_FLOAT_EQ(choice.weights[1], static_cast<float>(std::exp(2.0) / sum));
  EXPECT_FLOAT_EQ(choice.weights[2], static_cast<float>(std::exp(2.5) / sum));
}

TEST(Experts, WeightsAreProbabilitiesAmongAllOrTheChosen) {
  const std::vector<float> scores = {1.0F, 2.0F, 3.0F};
  const double all = std::exp(1.0) + std::exp(2.0) + std::exp(3.0);
  ExpertSpec spec{.count = 3, .used = 1, .is_renormalized = false};
  EXPECT_FLOAT_EQ(choose(spec, scores).weights[0], static_cast<float>(std::exp(3.0) / all));
  spec.scores = ExpertScores::kSoftmaxOfChosen;
  EXPECT_FLOAT_EQ(choose(spec, scores).weights[0], 1.0F);
}

TEST(Experts, OfEqualScoresTheLowerNumberWins) {
  EXPECT_EQ(choose({.count = 5, .used = 2}, {1, 1, 1, 1, 1}).experts, (Numbers{0, 1}));
  EXPECT_EQ(choose({.count = 5, .used = 2}, {0, 1, 2, 1, 1}).experts, (Numbers{1, 2}));
  EXPECT_EQ(choose({.count = 3, .used = 3}, {2, 1, 2}).experts, (Numbers{0, 1, 2}));
}

TEST(Experts, LargeScoresDoNotOverflow) {
  const Choice choice = choose({.count = 3, .used = 2}, {1e30F, -1e30F, 1e30F});
  EXPECT_EQ(choice.experts, (Numbers{0, 2}));
  EXPECT_EQ(choice.weights, (std::vector<float>{0.5F, 0.5F}));
}

// A damaged model: whatever the weights are, the experts are some of the model's, each once.
TEST(Experts, WhatIsNotANumberIsChosenLast) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(choose({.count = 4, .used = 2}, {nan, 1.0F, nan, 0.0F}).experts, (Numbers{1, 3}));
  EXPECT_EQ(choose({.count = 4, .used = 3}, {nan, nan, nan, nan}).experts, (Numbers{0, 1, 2}));
}

}  // namespace
}  // namespace paring::model
