// SPDX-License-Identifier: Apache-2.0
#include "engine/step_sums.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/random.h"

namespace paring::engine {
namespace {

// A machine: reading the weights takes as long as 6 tokens of arithmetic.
double truth(const StepShape& shape) {
  return std::max(0.006, 0.001 * shape.tokens) + 0.0002 * shape.rows +
         2e-7 * shape.decode_positions + 1e-7 * shape.prefill_positions;
}

StepShape some_shape(RandomStream& random) {
  const double decoding = random.below(9);
  const double prompt = decoding == 0 || random.below(5) == 0 ? 1 + random.below(256) : 0;
  const double at = random.below(2000);
  return {.tokens = decoding + prompt,
          .rows = decoding + (random.below(2) == 0 && prompt > 0 ? 1 : 0),
          .decode_positions = decoding * random.below(1500),
          .prefill_positions = prompt * (at + prompt / 2)};
}

StepSums learned(std::size_t steps, double noise) {
  StepSums times;
  RandomStream random({.seed = 3});
  for (std::size_t i = 0; i < steps; ++i) {
    const StepShape shape = some_shape(random);
    times.add(shape, truth(shape) * std::exp(noise * random.normal()));
  }
  return times;
}

TEST(StepSums, FindsTheMachineAgain) {
  const Result<StepModel> model = learned(20'000, 0.05).fit();
  ASSERT_TRUE(model.has_value());
  RandomStream random({.seed = 4});
  double error = 0;
  for (int i = 0; i < 500; ++i) {
    const StepShape shape = some_shape(random);
    const double relative = std::abs(model->seconds(shape) / truth(shape) - 1);
    EXPECT_LT(relative, 0.2) << shape.tokens << " tokens, " << shape.rows << " rows";
    error += relative / 500;
  }
  EXPECT_LT(error, 0.025);
  EXPECT_NEAR(model->spread(), 0.05, 0.02);
}

TEST(StepSums, ASumOfTimesIsTheSumOfSteps) {
  const StepSums times = learned(5000, 0.1);
  const Result<StepModel> model = times.fit();
  ASSERT_TRUE(model.has_value());
  RandomStream random({.seed = 3});
  double predicted = 0;
  for (int i = 0; i < 5000; ++i) {
    const StepShape shape = some_shape(random);
    predicted += model->seconds(shape);
    (void)random.normal();
  }
  // The weights favour what ran fast a little.
  EXPECT_NEAR(predicted / times.seconds(), 1, 0.03);
}

TEST(StepSums, WhatWasNotSeenFollowsTheLine) {
  StepSums times;
  for (int i = 0; i < 200; ++i) {
    const double tokens = i % 2 == 0 ? 64 : 4;
    times.add({.tokens = tokens}, 0.001 * tokens + 0.01);
  }
  const Result<StepModel> model = times.fit();
  ASSERT_TRUE(model.has_value());
  EXPECT_NEAR(model->seconds({.tokens = 32}), 0.042, 0.002);
  EXPECT_NEAR(model->seconds({.tokens = 256}), 0.266, 0.02);
}

TEST(StepSums, PartsAddUp) {
  StepSums all = learned(1000, 0.1);
  StepSums twice = all;
  twice.merge(all);
  EXPECT_EQ(twice.steps(), 2000);
  EXPECT_NEAR(twice.fit()->seconds({.tokens = 8, .rows = 8}),
              all.fit()->seconds({.tokens = 8, .rows = 8}), 1e-4);
}

TEST(StepSums, AreTheSameOnceReadBack) {
  const StepSums times = learned(100, 0.1);
  const Result<StepSums> read = StepSums::from_json(times.to_json());
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->to_json(), times.to_json());
  EXPECT_EQ(read->fit()->seconds({.tokens = 5}), times.fit()->seconds({.tokens = 5}));
  for (const char* text : {"", "[]", "{}", R"({"format":2})", R"({"format":1,"steps":1e999})",
                           R"({"format":1,"steps":1,"seconds":1,"weighted_squares":1,)"
                           R"("moments":[1],"normal":[]})"}) {
    EXPECT_EQ(StepSums::from_json(text).error().code, ErrorCode::kCorrupt) << text;
  }
}

TEST(StepSums, AFewStepsTellNothing) {
  EXPECT_EQ(learned(31, 0).fit().error().code, ErrorCode::kUnavailable);
  StepSums times;
  for (int i = 0; i < 100; ++i) times.add({.tokens = 1}, 0);
  EXPECT_EQ(times.steps(), 0);
}

}  // namespace
}  // namespace paring::engine
