// SPDX-License-Identifier: Apache-2.0
#include "advise/replay/step_ratios.h"

#include <gtest/gtest.h>

#include "measure/step_timer.h"
#include "model/testing/random_model.h"

namespace paring::advise {
namespace {

StepRatios some() {
  return {.decode_tokens = {1, 4},
          .decode = {0.4, 0.6},
          .decode_now_s = {0.01, 0.02},
          .prompt_tokens = {8, 128},
          .prompt = {0.7, 1.1},
          .prompt_now_s = {0.03, 0.10}};
}

TEST(StepRatios, LiesBetweenWhatWasMeasured) {
  const StepRatios ratios = some();
  EXPECT_DOUBLE_EQ(ratios.at(1, 1), 0.4);
  EXPECT_DOUBLE_EQ(ratios.at(2, 2), 0.5);
  EXPECT_DOUBLE_EQ(ratios.at(4, 4), 0.6);
  EXPECT_DOUBLE_EQ(ratios.at(64, 64), 0.6);
  EXPECT_DOUBLE_EQ(ratios.at(32, 1), 0.9);
  EXPECT_DOUBLE_EQ(ratios.at(2, 0), 0.7);
  EXPECT_DOUBLE_EQ(ratios.at(4096, 1), 1.1);
  EXPECT_DOUBLE_EQ(StepRatios().at(4, 4), 1);
}

TEST(StepRatios, OfBothKindsLieBetweenThem) {
  const StepRatios ratios = some();
  const double mixed = ratios.at(132, 4);
  EXPECT_GT(mixed, 0.6);
  EXPECT_LT(mixed, 1.1);
  EXPECT_NEAR(mixed, (0.02 * 0.6 + 0.10 * 1.1) / 0.12, 0.01);
}

class Steps : public ::testing::Test {
 protected:
  static std::shared_ptr<const model::Model> model_of(std::size_t layers) {
    model::BlockSpec spec = model::testing::tiny_spec();
    spec.layers = layers;
    spec.ffn_width = 640;
    return model::testing::random_model(spec, DType::kF32, 1).model;
  }
  std::unique_ptr<Executor> executor_ = Executor::create({.threads = 1}).value();
};

TEST_F(Steps, OfMoreLayersTakeLonger) {
  const auto small = model_of(2);
  const auto large = model_of(16);
  const auto ratios =
      compare_steps({*small}, {*large}, *executor_,
                    {.sequences_max = 4, .prompt_tokens_max = 64, .turn_seconds = 0.005});
  ASSERT_TRUE(ratios) << ratios.error().message;
  EXPECT_EQ(ratios->decode_tokens, (std::vector<double>{1, 2, 4}));
  EXPECT_EQ(ratios->prompt_tokens, (std::vector<double>{8, 32}));
  for (const double ratio : ratios->decode) EXPECT_GT(ratio, 2);
  for (const double ratio : ratios->prompt) EXPECT_GT(ratio, 2);
  for (const double seconds : ratios->decode_now_s) EXPECT_GT(seconds, 0);
}

TEST_F(Steps, NeedSomethingToTime) {
  const auto small = model_of(2);
  const auto none = compare_steps({*small}, {*small}, *executor_, {.rounds = 0});
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::kInvalidArgument);
}

TEST_F(Steps, RandomWeightsHaveTheShapesAndTypesAskedFor) {
  const auto some = model_of(3);
  const shrink::TypeMap types(some->matrix_count(), DType::kQ8_0);
  const auto other = random_weights(*some, types);
  ASSERT_TRUE(other) << other.error().message;
  ASSERT_EQ((*other)->matrix_count(), some->matrix_count());
  for (std::size_t i = 0; i < types.size(); ++i) {
    EXPECT_EQ((*other)->matrix(i).type, DType::kQ8_0);
    EXPECT_EQ((*other)->matrix(i).rows, some->matrix(i).rows);
  }
  const auto timer = measure::StepTimer::create(**other, *executor_, {.prompt_tokens_max = 16});
  ASSERT_TRUE(timer) << timer.error().message;
  std::vector<double> times;
  ASSERT_TRUE((*timer)->run({.sequences = 1}, 0.001, times));
  ASSERT_TRUE((*timer)->run({.prompt_tokens = 16}, 0.001, times));
  ASSERT_GE(times.size(), 2U);
  for (const double seconds : times) EXPECT_GT(seconds, 0);
  EXPECT_FALSE((*timer)->run({.sequences = 2}, 0.001, times));
  EXPECT_FALSE((*timer)->run({}, 0.001, times));
}

TEST_F(Steps, RandomExpertsAreRefused) {
  const auto experts = model::testing::random_model(model::testing::expert_spec(), DType::kF32, 1);
  const auto other =
      random_weights(*experts.model, shrink::TypeMap(experts.model->matrix_count(), DType::kQ8_0));
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, ErrorCode::kUnsupported);
}

}  // namespace
}  // namespace paring::advise
