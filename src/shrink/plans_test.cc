// SPDX-License-Identifier: Apache-2.0
#include "shrink/plans.h"

#include <gtest/gtest.h>

#include <cmath>

#include "shrink/explain.h"

namespace paring::shrink {
namespace {

// `count` matrices of 64 x 256 whose losses differ by a factor each; memory is padded by 1 kB.
std::vector<MatrixPlan> make_plans(std::size_t count) {
  std::vector<MatrixPlan> plans;
  for (std::size_t i = 0; i < count; ++i) {
    MatrixPlan plan;
    plan.index = i;
    plan.name = "blk." + std::to_string(i) + ".ffn_down.weight";
    plan.rows = 64;
    plan.cols = 256;
    plan.original = DType::kF16;
    for (const DType type : {DType::kQ4_0, DType::kQ5_0, DType::kQ8_0, DType::kF16}) {
      TypeOption option{type};
      option.bytes = *dtype_row_bytes(type, plan.cols) * plan.rows;
      option.memory_bytes = option.bytes + 1000;
      option.predicted_kl = type == DType::kF16
                                ? 0
                                : std::pow(3.0, static_cast<double>(i)) *
                                      std::pow(4.0, -dtype_info(type).bits_per_weight());
      plan.options.push_back(option);
    }
    plans.push_back(plan);
  }
  return plans;
}

TEST(Plans, KeepToEveryBound) {
  const auto plans = make_plans(6);
  const std::uint64_t least = 6 * plans[0].options[0].bytes;
  for (const std::uint64_t room : {0U, 5'000U, 20'000U, 60'000U}) {
    const TypeList by_file = choose_types(plans, {least + room, 0, 0});
    ASSERT_FALSE(by_file.empty());
    EXPECT_LE(totals_of(plans, by_file).file_bytes, least + room);
    const TypeList by_memory = choose_types(plans, {0, least + 6'000 + room, 0});
    ASSERT_FALSE(by_memory.empty());
    EXPECT_LE(totals_of(plans, by_memory).memory_bytes, least + 6'000 + room);
    EXPECT_EQ(by_file, by_memory);
  }
  EXPECT_TRUE(choose_types(plans, {least - 1, 0, 0}).empty());
  EXPECT_TRUE(choose_types(plans, {0, least + 5'999, 0}).empty());
}

TEST(Plans, SmallestForALossIsTheLeastThatKeepsIt) {
  const auto plans = make_plans(6);
  const TypeList best = choose_types(plans, {});
  EXPECT_EQ(totals_of(plans, best).predicted_kl, 0.0);
  std::uint64_t before = UINT64_MAX;
  for (const double kl : {0.05, 0.2, 0.5}) {
    const TypeList types = choose_smallest(plans, kl, {});
    ASSERT_FALSE(types.empty());
    const TypeTotals totals = totals_of(plans, types);
    EXPECT_LE(totals.predicted_kl, kl);
    EXPECT_LT(totals.file_bytes, before);
    before = totals.file_bytes;
    // One size smaller loses more than was allowed.
    const TypeList smaller = choose_types(plans, {totals.file_bytes - 200, 0, 0});
    ASSERT_FALSE(smaller.empty());
    EXPECT_GT(totals_of(plans, smaller).predicted_kl, kl);
  }
  EXPECT_TRUE(choose_smallest(plans, 1e-6, {6 * plans[0].options[0].bytes, 0, 0}).empty());
}

TEST(Plans, UniformIsTheLargestTypeThatFits) {
  const auto plans = make_plans(3);
  const DType types[] = {DType::kQ4_0, DType::kQ5_0, DType::kQ8_0};
  const TypeList list = choose_uniform(plans, types, {3 * plans[0].options[1].bytes + 10, 0, 0});
  EXPECT_EQ(list, TypeList(3, DType::kQ5_0));
  EXPECT_TRUE(choose_uniform(plans, types, {10, 0, 0}).empty());
}

TEST(Explain, PricesTheStepsBesideTheChosenType) {
  OptimizeResult result;
  result.plans = make_plans(2);
  result.plans[0].chosen = DType::kQ4_0;
  result.plans[1].chosen = DType::kQ5_0;
  const Explanations all = explain(result);
  ASSERT_EQ(all.tensors.size(), 2U);
  EXPECT_FALSE(all.tensors[0].smaller.has_value());
  ASSERT_TRUE(all.tensors[1].smaller.has_value());
  const TypeStep& step = *all.tensors[1].smaller;
  EXPECT_EQ(step.type, DType::kQ4_0);
  const auto& options = result.plans[1].options;
  EXPECT_EQ(step.bytes, static_cast<std::int64_t>(options[0].bytes) -
                            static_cast<std::int64_t>(options[1].bytes));
  EXPECT_DOUBLE_EQ(step.kl, options[0].predicted_kl - options[1].predicted_kl);
  EXPECT_NEAR(all.tensors[0].kl_share + all.tensors[1].kl_share, 1.0, 1e-12);
  EXPECT_NE(explain_text(result).find("would save"), std::string::npos);
}

}  // namespace
}  // namespace paring::shrink
