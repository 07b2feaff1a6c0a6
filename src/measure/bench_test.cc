// SPDX-License-Identifier: Apache-2.0
#include "measure/bench.h"
#include "measure/bench_batch.h"

#include <gtest/gtest.h>

#include <cmath>

#include "engine/token_work.h"
#include "measure/memory.h"
#include "model/testing/random_model.h"

namespace paring::measure {
namespace {

using model::testing::random_model;
using model::testing::tiny_spec;

const cost::Probes kProbes{.isa = "test",
                           .threads = 2,
                           .read_bytes_per_second = 1e9,
                           .f32_operations_per_second = 1e9,
                           .int8_operations_per_second = 1e12};

class Bench : public ::testing::Test {
 protected:
  model::testing::RandomModel random_ = random_model(tiny_spec(), DType::kQ8_0, 1);
  std::unique_ptr<Executor> executor_ = Executor::create({.threads = 2, .pin = false}).value();
  model::ModelView view_{*random_.model};
};

TEST_F(Bench, MeasuresBothPhases) {
  const auto result = bench(view_, *executor_, kProbes,
                            {.prefill_tokens = 40, .decode_tokens = 8, .repetitions = 2});
  ASSERT_TRUE(result) << result.error().text();
  EXPECT_EQ(result->prefill.tokens, 40U);
  EXPECT_EQ(result->decode.tokens, 8U);
  for (const PhaseSpeed& phase : {result->prefill, result->decode}) {
    EXPECT_GT(phase.seconds, 0);
    EXPECT_NEAR(phase.tokens_per_second, static_cast<double>(phase.tokens) / phase.seconds, 1e-6);
    EXPECT_NEAR(phase.limit_share, phase.tokens_per_second / phase.limit_tokens_per_second, 1e-9);
    EXPECT_GT(phase.operations_per_token, 0);
  }
  // A prompt's tokens share the reading of the weights; a decoded token reads them alone.
  EXPECT_LT(result->prefill.bytes_per_token, result->decode.bytes_per_token);
  EXPECT_GE(result->decode.bytes_per_token, static_cast<double>(view_.bytes_per_token()));
  EXPECT_EQ(result->weight_bytes, random_.model->weight_bytes());
  EXPECT_GT(result->kv_bytes, 0U);
  EXPECT_GT(result->buffer_bytes, 0U);
}

TEST_F(Bench, DepthAddsCacheReads) {
  const auto result = [&](std::size_t depth) {
    return bench(view_, *executor_, kProbes,
                 {.prefill_tokens = 0, .decode_tokens = 4, .depth_tokens = depth, .repetitions = 1})
        .value();
  };
  const double shallow = result(0).decode.bytes_per_token;
  const double deep = result(96).decode.bytes_per_token;
  const auto per_token =
      static_cast<double>(model::KvPool::bytes_per_token(view_.spec(), kernels::KvType::kQ8));
  EXPECT_NEAR(deep - shallow, 96 * per_token, 1e-6);
}

TEST_F(Bench, PhasesCanBeLeftOut) {
  const auto result = bench(view_, *executor_, kProbes,
                            {.prefill_tokens = 16, .decode_tokens = 0, .repetitions = 1});
  ASSERT_TRUE(result);
  EXPECT_EQ(result->decode.tokens, 0U);
  EXPECT_EQ(result->decode.tokens_per_second, 0);
}

TEST_F(Bench, RefusesWhatCannotBeMeasured) {
  for (const BenchOptions& options :
       {BenchOptions{.repetitions = 0}, BenchOptions{.prefill_tokens = kBenchTokensMax + 1},
        BenchOptions{.decode_tokens = kBenchTokensMax + 1}}) {
    const auto result = bench(view_, *executor_, kProbes, options);
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, ErrorCode::kInvalidArgument);
  }
}

// What is shared was computed before the clock runs, and is read once for all.
TEST_F(Bench, SequencesCanShareAPrefix) {
  const auto result = [&](std::size_t shared) {
    return bench_batch(
        view_, *executor_, kProbes,
        {.prefill_tokens = 100, .decode_tokens = 6, .shared_tokens = shared, .repetitions = 2}, 4);
  };
  const BatchResult apart = result(0).value();
  const BatchResult together = result(96).value();
  EXPECT_EQ(apart.prefill.tokens, 400U);
  EXPECT_EQ(together.prefill.tokens, 16U);
  EXPECT_EQ(together.decode.tokens, 4U);
  EXPECT_GT(together.decode.tokens_per_second, 0);
  EXPECT_LT(together.decode.bytes_per_token, apart.decode.bytes_per_token);
  const auto whole = result(100);
  ASSERT_FALSE(whole);
  EXPECT_EQ(whole.error().code, ErrorCode::kInvalidArgument);
}

TEST(Memory, AddsWeightsWholePagesAndBuffers) {
  const model::BlockSpec spec = tiny_spec();
  const MemoryUse use = run_memory(spec, 1000, {.context_tokens = 33, .threads = 1});
  EXPECT_EQ(use.weight_bytes, 1000U);
  EXPECT_EQ(use.kv_bytes, 64 * model::KvPool::bytes_per_token(spec, kernels::KvType::kQ8));
  EXPECT_EQ(use.total(), use.weight_bytes + use.kv_bytes + use.buffer_bytes);
}

TEST(Memory, CountsTheExpertsThatAreUsed) {
  const model::BlockSpec spec = model::testing::expert_spec();  // 3 of 7
  const auto random = model::testing::random_model(spec, DType::kF32, 3);
  const model::ModelView view(*random.model);
  double experts = 0;
  double rest = 0;
  for (const model::MatrixSlot& slot : random.model->slots()) {
    const double values = static_cast<double>(slot.rows) * static_cast<double>(slot.cols);
    (slot.experts == 0 ? rest : experts) += values;
  }
  const double routers = static_cast<double>(spec.layers * 7 * spec.width);
  const auto work = [&](double step_tokens) {
    return engine::token_work(engine::matrix_loads(view), spec,
                              {.range = {10, 10}, .head_share = 1, .step_tokens = step_tokens});
  };
  // The embedding is the head, so that every matrix is multiplied.
  const double operations = 2 * (rest + routers + experts * 3 / 7);
  EXPECT_NEAR(work(1).f32_operations - engine::token_operations(spec, {10, 10}).attention,
              operations, 1);
  EXPECT_NEAR(work(4).f32_operations, work(1).f32_operations, 1) << "a token's own work";
  const engine::TokenOperations formula = engine::token_operations(spec, {10, 10});
  EXPECT_NEAR(formula.matrices + formula.head, operations, 1);
  // Expected share of the experts that some of 4 tokens use.
  const double read = 1 - std::pow(1 - 3.0 / 7, 4);
  const double padded = work(1).weight_bytes - work(4).weight_bytes;
  EXPECT_NEAR(-padded, 4 * experts * (read - 3.0 / 7), 1);
  EXPECT_NEAR(static_cast<double>(view.bytes_per_token()), work(1).weight_bytes,
              0.02 * work(1).weight_bytes);
}

TEST(Memory, CountsTheOperationsOfEveryMatrix) {
  model::BlockSpec spec = tiny_spec();
  double weights = 0;
  for (const model::MatrixSlot& slot : model::matrix_slots(spec)) {
    if (slot.id.kind == model::MatrixKind::kEmbedding || slot.id.kind == model::MatrixKind::kHead) {
      continue;
    }
    weights += static_cast<double>(slot.rows) * static_cast<double>(slot.cols);
  }
  const engine::TokenOperations operations = engine::token_operations(spec, {10, 10});
  EXPECT_DOUBLE_EQ(operations.matrices, 2 * weights);
  EXPECT_DOUBLE_EQ(operations.head,
                   2.0 * static_cast<double>(spec.vocabulary) * static_cast<double>(spec.width));
  EXPECT_DOUBLE_EQ(operations.attention, 4.0 * 10 * static_cast<double>(spec.layers) *
                                             static_cast<double>(spec.query_width()));
}

}  // namespace
}  // namespace paring::measure
