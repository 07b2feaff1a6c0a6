// SPDX-License-Identifier: Apache-2.0
#include "serve/model_memory.h"

#include <gtest/gtest.h>

namespace paring::serve {
namespace {

TEST(ModelMemory, WhatIsPromisedAndNotYetTouchedIsNotFree) {
  const MemoryNow now{.available_bytes = 1000, .limit_bytes = 2000, .resident_bytes = 300};
  EXPECT_EQ(free_for_models(now, {}), 1000U);
  // 500 are promised, 200 of them resident beside the 100 of the process itself.
  EXPECT_EQ(free_for_models(now, {.committed_bytes = 500, .base_bytes = 100}), 700U);
  EXPECT_EQ(free_for_models(now, {.committed_bytes = 5000, .base_bytes = 100}), 0U);
  // All that is promised is resident: other memory of the process is none of the models'.
  EXPECT_EQ(free_for_models(now, {.committed_bytes = 150, .base_bytes = 100}), 1000U);
}

TEST(ModelMemory, TheBudgetBoundsWhatIsPromised) {
  const MemoryNow now{.available_bytes = 1000, .limit_bytes = 2000, .resident_bytes = 900};
  EXPECT_EQ(free_for_models(now, {.budget_bytes = 800, .committed_bytes = 500}), 300U);
  EXPECT_EQ(free_for_models(now, {.budget_bytes = 400, .committed_bytes = 500}), 0U);
  EXPECT_EQ(free_for_models(now, {.budget_bytes = 9000, .committed_bytes = 500}), 1000U);
  EXPECT_EQ(limit_for_models(now, {.budget_bytes = 800}), 800U);
  EXPECT_EQ(limit_for_models(now, {.budget_bytes = 9000}), 2000U);
  EXPECT_EQ(limit_for_models(now, {}), 2000U);
}

TEST(ModelMemory, WhatLeavesPaysFirstForWhatIsTooMuch) {
  const MemoryNow now{.available_bytes = 1000, .limit_bytes = 2000, .resident_bytes = 900};
  EXPECT_EQ(free_for_models(now, {.budget_bytes = 400, .committed_bytes = 500}, 500), 400U);
  EXPECT_EQ(free_for_models(now, {.budget_bytes = 400, .committed_bytes = 500}, 200), 100U);
  EXPECT_EQ(free_for_models(now, {.committed_bytes = 2500}, 500), 0U);
  EXPECT_EQ(free_for_models(now, {.committed_bytes = 2500}, 1600), 1000U);
}

TEST(ModelMemory, ASystemThatTellsNothingBoundsNothing) {
  EXPECT_EQ(free_for_models({}, {.committed_bytes = 5}), std::nullopt);
  EXPECT_EQ(limit_for_models({}, {}), std::nullopt);
  EXPECT_EQ(free_for_models({}, {.budget_bytes = 7, .committed_bytes = 5}), 2U);
}

TEST(ModelMemory, ThisProcessIsSeen) {
  const MemoryNow now = memory_now();
  EXPECT_GT(now.resident_bytes, 1U << 20);
  ASSERT_TRUE(now.available_bytes && now.limit_bytes);
  EXPECT_LE(*now.available_bytes, *now.limit_bytes);
}

}  // namespace
}  // namespace paring::serve
