// SPDX-License-Identifier: Apache-2.0
#include "measure/rescoring.h"

#include <gtest/gtest.h>

#include <cmath>
#include <span>

#include "kernels/ops.h"
#include "model/testing/random_model.h"
#include "model/testing/run_model.h"

namespace paring::measure {
namespace {

using model::testing::make_executor;
using model::testing::random_model;
using model::testing::tiny_spec;

std::vector<std::int32_t> some_tokens(std::size_t count, std::int32_t seed) {
  std::vector<std::int32_t> tokens(count);
  for (std::size_t i = 0; i < count; ++i) {
    tokens[i] =
        static_cast<std::int32_t>((i * i * 7 + i * 13 + static_cast<std::size_t>(seed)) % 83);
  }
  return tokens;
}

// All logits of a sequence, computed in one go: [tokens, V].
class AllLogits : public model::LogitsSink {
 public:
  void consume(Worker& worker, const model::LogitsChunk& chunk) override {
    if (worker.index() == 0) {
      logits.insert(logits.end(), chunk.logits, chunk.logits + chunk.rows * chunk.vocabulary);
    }
    worker.barrier();
  }
  std::vector<float> logits;
};

std::vector<float> logits_of(const model::ModelView& view, Executor& executor,
                             const std::vector<std::int32_t>& tokens, const EvalOptions& eval) {
  const auto forward =
      model::Forward::create(view.spec(), {.tokens_max = 256, .context_tokens = 256}, executor);
  auto pool = model::KvPool::create(view.spec(), eval.kv_type, {.tokens = 256});
  model::KvSequence sequence(*pool);
  EXPECT_TRUE(sequence.grow(tokens.size()));
  AllLogits sink;
  const model::Segment segment{&sequence, tokens, tokens.size()};
  model::ForwardOptions options;
  options.numerics = eval.numerics;
  options.sink = &sink;
  (*forward)->run(view, {&segment, 1}, options);
  return sink.logits;
}

// The same figures from whole rows, in double, with no piece or kernel in common.
RescoredAnswer oracle(const std::vector<float>& p, const std::vector<float>& q,
                      const std::vector<std::int32_t>& tokens, std::size_t answer_at,
                      std::size_t vocabulary) {
  RescoredAnswer all;
  for (std::size_t t = answer_at; t < tokens.size(); ++t) {
    const float* a = p.data() + (t - 1) * vocabulary;
    const float* b = q.data() + (t - 1) * vocabulary;
    double sum_a = 0;
    double sum_b = 0;
    std::size_t top_a = 0;
    std::size_t top_b = 0;
    for (std::size_t v = 0; v < vocabulary; ++v) {
      sum_a += std::exp(static_cast<double>(a[v]));
      sum_b += std::exp(static_cast<double>(b[v]));
      if (a[v] > a[top_a]) top_a = v;
      if (b[v] > b[top_b]) top_b = v;
    }
    double kl = 0;
    for (std::size_t v = 0; v < vocabulary; ++v) {
      const double log_a = static_cast<double>(a[v]) - std::log(sum_a);
      const double log_b = static_cast<double>(b[v]) - std::log(sum_b);
      kl += std::exp(log_a) * (log_a - log_b);
    }
    const auto next = static_cast<std::size_t>(tokens[t]);
    all.kl_sum += kl;
    all.kl_max = std::max(all.kl_max, kl);
    all.log_ratio += (static_cast<double>(a[next]) - std::log(sum_a)) -
                     (static_cast<double>(b[next]) - std::log(sum_b));
    if (top_a == top_b) {
      ++all.same_top;
    } else if (top_b == next && !all.first_changed) {
      all.first_changed = all.tokens;
    }
    ++all.tokens;
  }
  return all;
}

class RescoringTest : public testing::Test {
 protected:
  RescoredAnswer rescore(std::size_t prompt, std::size_t piece, std::size_t piece_max = 64) {
    auto rescorer =
        Rescorer::create(original_.model->spec(), model_.model->spec(), *executor_,
                         {.model = kModel, .context_tokens = 256, .piece_tokens_max = piece_max});
    EXPECT_TRUE(rescorer);
    const auto all = std::span<const std::int32_t>(tokens_);
    EXPECT_TRUE((*rescorer)->begin(all.first(prompt), all.subspan(prompt)));
    const model::ModelView original(*original_.model);
    const model::ModelView model(*model_.model);
    while (!(*rescorer)->is_done()) EXPECT_TRUE((*rescorer)->step(original, model, piece));
    return (*rescorer)->result();
  }

  static constexpr EvalOptions kModel{model::Numerics::kServed, kernels::KvType::kQ8};
  std::unique_ptr<Executor> executor_ = make_executor(2);
  model::testing::RandomModel original_ = random_model(tiny_spec(), DType::kF16, 3);
  model::testing::RandomModel model_ = random_model(tiny_spec(), DType::kQ4_0, 3);
  std::vector<std::int32_t> tokens_ = some_tokens(150, 5);
};

TEST_F(RescoringTest, FiguresAreThoseOfWholeRowsWhateverThePieces) {
  const model::ModelView original(*original_.model);
  const model::ModelView model(*model_.model);
  const auto p = logits_of(original, *executor_, tokens_, kExactOptions);
  const auto q = logits_of(model, *executor_, tokens_, kModel);
  const RescoredAnswer want = oracle(p, q, tokens_, 70, tiny_spec().vocabulary);
  ASSERT_EQ(want.tokens, 80u);
  ASSERT_GT(want.kl_sum, 0);
  std::optional<double> first;
  for (const std::size_t piece : {1, 7, 32, 33, 64, 500}) {
    const RescoredAnswer got = rescore(70, piece);
    EXPECT_EQ(got.tokens, want.tokens);
    EXPECT_NEAR(got.kl_sum, want.kl_sum, 1e-5 * want.kl_sum + 1e-6) << piece;
    EXPECT_NEAR(got.kl_max, want.kl_max, 1e-5);
    EXPECT_NEAR(got.log_ratio, want.log_ratio, 1e-4);
    EXPECT_EQ(got.same_top, want.same_top);
    EXPECT_EQ(got.first_changed, want.first_changed);
    if (!first) first = got.kl_sum;
    EXPECT_EQ(got.kl_sum, *first) << "bits depend on the piece " << piece;
  }
}

TEST_F(RescoringTest, APromptOfOneTokenAndAnAnswerOfOne) {
  EXPECT_EQ(rescore(1, 16).tokens, 149u);
  EXPECT_EQ(rescore(149, 16).tokens, 1u);
}

TEST_F(RescoringTest, AModelAgainstItselfInTheSameNumericsDivergesByNothing) {
  auto rescorer = Rescorer::create(model_.model->spec(), model_.model->spec(), *executor_,
                                   {.model = kExactOptions, .context_tokens = 256});
  ASSERT_TRUE(rescorer);
  const auto all = std::span<const std::int32_t>(tokens_);
  ASSERT_TRUE((*rescorer)->begin(all.first(20), all.subspan(20)));
  const model::ModelView view(*model_.model);
  while (!(*rescorer)->is_done()) ASSERT_TRUE((*rescorer)->step(view, view, 50));
  const RescoredAnswer& found = (*rescorer)->result();
  EXPECT_EQ(found.same_top, 130u);
  EXPECT_FALSE(found.first_changed);
  EXPECT_NEAR(found.kl_sum, 0, 1e-6);
  EXPECT_NEAR(found.log_ratio, 0, 1e-6);
}

TEST_F(RescoringTest, RefusesWhatHasNoRoomAndGoesOnWithAnother) {
  auto rescorer = Rescorer::create(original_.model->spec(), model_.model->spec(), *executor_,
                                   {.model = kModel, .context_tokens = 64});
  ASSERT_TRUE(rescorer);
  const auto all = std::span<const std::int32_t>(tokens_);
  EXPECT_EQ((*rescorer)->begin(all.first(60), all.subspan(60)).error().code,
            ErrorCode::kInvalidArgument);
  EXPECT_FALSE((*rescorer)->begin({}, all.first(3)));
  EXPECT_FALSE((*rescorer)->begin(all.first(3), {}));
  const model::ModelView original(*original_.model);
  const model::ModelView model(*model_.model);
  ASSERT_TRUE((*rescorer)->begin(all.first(30), all.subspan(30, 34)));
  ASSERT_TRUE((*rescorer)->step(original, model, 10));  // and not to its end
  ASSERT_TRUE((*rescorer)->begin(all.first(30), all.subspan(30, 34)));
  while (!(*rescorer)->is_done()) ASSERT_TRUE((*rescorer)->step(original, model, 10));
  EXPECT_EQ((*rescorer)->result().tokens, 34u);
}

}  // namespace
}  // namespace paring::measure
