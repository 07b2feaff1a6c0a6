// SPDX-License-Identifier: Apache-2.0
#include "engine/prompt_budget.h"

#include <gtest/gtest.h>

namespace paring::engine {
namespace {

TEST(PromptBudget, IsTheLargestUntilTimesAreKnown) {
  PromptBudget budget(128, 2);
  EXPECT_EQ(budget.tokens(1), 128U);
  budget.observe(1, 0, 0.010);
  EXPECT_EQ(budget.tokens(1), 128U);
}

TEST(PromptBudget, KeepsAStepWithinTheRatio) {
  PromptBudget budget(128, 2);
  for (int i = 0; i < 20; ++i) budget.observe(1, 0, 0.010);
  for (int i = 0; i < 20; ++i) budget.observe(1, 50, 0.010 + 50 * 0.0002);
  EXPECT_NEAR(static_cast<double>(budget.tokens(1)), 50, 1);
  // Deep in a long prompt each token takes longer.
  for (int i = 0; i < 30; ++i) budget.observe(1, 50, 0.010 + 50 * 0.0004);
  EXPECT_NEAR(static_cast<double>(budget.tokens(1)), 25, 1);
  for (int i = 0; i < 40; ++i) budget.observe(1, 16, 0.5);
  EXPECT_EQ(budget.tokens(1), kPromptTokensMin);
}

TEST(PromptBudget, MoreSequencesLeaveMoreTime) {
  PromptBudget budget(128, 2);
  for (int i = 0; i < 20; ++i) budget.observe(1, 0, 0.010);
  for (int i = 0; i < 20; ++i) budget.observe(8, 0, 0.020);
  for (int i = 0; i < 20; ++i) budget.observe(0, 512, 512 * 0.0004);
  EXPECT_NEAR(static_cast<double>(budget.tokens(1)), 25, 1);
  EXPECT_NEAR(static_cast<double>(budget.tokens(8)), 50, 1);
  EXPECT_NEAR(static_cast<double>(budget.tokens(64)), 50, 1);  // the nearest that is known
}

TEST(PromptBudget, NeverMoreThanTheLargest) {
  PromptBudget budget(8, 2);
  for (int i = 0; i < 20; ++i) budget.observe(1, 0, 0.010);
  for (int i = 0; i < 20; ++i) budget.observe(1, 8, 1.0);
  EXPECT_EQ(budget.tokens(1), 8U);
}

}  // namespace
}  // namespace paring::engine
