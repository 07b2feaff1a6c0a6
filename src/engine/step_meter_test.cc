// SPDX-License-Identifier: Apache-2.0
#include "engine/step_meter.h"

#include <gtest/gtest.h>

#include <vector>

#include "engine/batch_engine.h"
#include "model/testing/random_model.h"
#include "model/testing/run_model.h"

namespace paring::engine {
namespace {

using model::testing::make_executor;
using model::testing::random_model;
using model::testing::RandomModel;
using model::testing::rich_spec;
using model::testing::tiny_spec;

constexpr auto kKv = kernels::KvType::kQ8;

api::Work sum_of(std::span<const api::Work> works) {
  api::Work sum;
  for (const api::Work& work : works) sum += work;
  return sum;
}

TEST(StepMeter, CountsWhatTheRooflineCounts) {
  for (const model::BlockSpec& spec : {tiny_spec(), rich_spec()}) {
    const RandomModel random = random_model(spec, DType::kQ8_0, 1);
    const auto loads = matrix_loads(model::ModelView(*random.model));
    StepMeter meter(loads, spec, kKv);
    for (const std::size_t first : {0U, 1U, 50U, 200U}) {
      for (const std::size_t tokens : {1U, 16U}) {
        const StepMeter::Part part{first, tokens, tokens};
        const api::Work work = meter.split({&part, 1}, 0.5)[0];
        WorkShape shape;
        shape.kv_type = kKv;
        shape.range = {static_cast<double>(first + 1), static_cast<double>(first + tokens)};
        shape.step_tokens = static_cast<double>(tokens);
        const cost::TokenWork each = token_work(loads, spec, shape);
        const auto count = static_cast<double>(tokens);
        EXPECT_NEAR(work.operations, count * each.operations(), 1e-6 * work.operations);
        EXPECT_NEAR(work.bytes, each.weight_bytes + count * each.kv_bytes, 1e-6 * work.bytes);
        EXPECT_DOUBLE_EQ(work.seconds, 0.5);
      }
    }
  }
}

TEST(StepMeter, PartsAddUpToTheStep) {
  const model::BlockSpec spec = rich_spec();
  const RandomModel random = random_model(spec, DType::kQ4_0, 1);
  StepMeter meter(matrix_loads(model::ModelView(*random.model)), spec, kKv);
  const std::vector<StepMeter::Part> parts = {{0, 100, 1}, {7, 1, 1}, {250, 1, 1}, {250, 3, 3}};
  const api::Work sum = sum_of(meter.split(parts, 0.25));
  EXPECT_NEAR(sum.seconds, 0.25, 1e-12);
  EXPECT_DOUBLE_EQ(sum.operations, meter.total().operations);
  EXPECT_DOUBLE_EQ(sum.bytes, meter.total().bytes);
  EXPECT_TRUE(meter.split({}, 0.25).empty());
  EXPECT_EQ(meter.total().operations, 0);
}

TEST(StepMeter, WhoDoesMorePaysMore) {
  const model::BlockSpec spec = tiny_spec();
  const RandomModel random = random_model(spec, DType::kQ8_0, 1);
  StepMeter meter(matrix_loads(model::ModelView(*random.model)), spec, kKv);
  const std::vector<StepMeter::Part> parts = {{0, 1, 1}, {0, 1, 1}, {200, 1, 1}, {0, 50, 1}};
  const auto works = meter.split(parts, 1);
  EXPECT_EQ(works[0].seconds, works[1].seconds);
  EXPECT_GT(works[2].seconds, works[0].seconds) << "a longer context";
  EXPECT_GT(works[3].seconds, works[2].seconds) << "a prompt";
}

// Of any mixture of prompts, answers, samples and shared prefixes.
TEST(StepMeter, RequestsTogetherAreWhatTheEngineDid) {
  class Sum : public SequenceListener {
   public:
    bool on_token(std::size_t, std::int32_t) override { return true; }
    void on_end(std::size_t, const SequenceResult& result) override {
      prefill += result.usage.prefill_work;
      decode += result.usage.decode_work;
    }
    api::Work prefill;
    api::Work decode;
  };
  const RandomModel random = random_model(tiny_spec(), DType::kQ8_0, 1);
  const auto executor = make_executor(2);
  auto engine =
      BatchEngine::create(*random.model, *executor, {.context_tokens = 256, .cache_tokens = 2048})
          .value();
  Sum sum;
  const std::vector<std::int32_t> prompt(70, 5);
  for (std::uint64_t id = 0; id < 6; ++id) {
    SequenceRequest request{.id = id, .prompt = prompt, .max_tokens = 3 + 5 * id};
    request.prompt.resize(10 + 12 * id, 7);
    request.samples = 1 + id % 3;
    ASSERT_TRUE(engine->submit(request, sum));
  }
  api::Work steps;
  while (engine->step()) {
    const api::StepRecord& step = engine->last_step();
    steps += {step.seconds, step.operations, step.bytes};
  }
  EXPECT_GT(steps.operations, 0);
  EXPECT_NEAR(sum.prefill.seconds + sum.decode.seconds, steps.seconds, 1e-9);
  EXPECT_NEAR(sum.prefill.operations + sum.decode.operations, steps.operations,
              1e-9 * steps.operations);
  EXPECT_NEAR(sum.prefill.bytes + sum.decode.bytes, steps.bytes, 1e-9 * steps.bytes);
  EXPECT_GT(sum.decode.seconds, 0);
  EXPECT_GT(sum.prefill.operations, sum.decode.operations / 100);
}

}  // namespace
}  // namespace paring::engine
