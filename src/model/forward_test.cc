// SPDX-License-Identifier: Apache-2.0
#include "model/forward.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "model/testing/random_model.h"
#include "model/testing/run_model.h"

namespace paring::model {
namespace {

using testing::CollectSink;
using testing::make_executor;
using testing::random_model;
using testing::RandomModel;
using testing::test_tokens;
using testing::tiny_spec;

// Logits of every token of one sequence, computed in chunks of the given sizes (repeated).
std::vector<float> run_chunks(const Model& model, const std::vector<std::int32_t>& tokens,
                              const std::vector<std::size_t>& chunks, std::size_t threads,
                              Numerics numerics, kernels::KvType kv,
                              const KvCapacity& capacity = {.tokens = 256}) {
  const auto executor = make_executor(threads);
  const ModelView view(model);
  const ForwardShape shape{.tokens_max = 128, .context_tokens = capacity.tokens};
  auto forward = Forward::create(model.spec(), shape, *executor).value();
  KvPool pool = KvPool::create(model.spec(), kv, capacity).value();
  KvSequence sequence(pool);
  std::vector<float> all;
  std::size_t done = 0;
  for (std::size_t i = 0; done < tokens.size(); ++i) {
    const std::size_t count = std::min(chunks[i % chunks.size()], tokens.size() - done);
    EXPECT_TRUE(sequence.grow(count).has_value());
    CollectSink sink;
    const Segment segment{&sequence, std::span(tokens).subspan(done, count), count};
    ForwardOptions options;
    options.numerics = numerics;
    options.sink = &sink;
    forward->run(view, {&segment, 1}, options);
    all.insert(all.end(), sink.rows.begin(), sink.rows.end());
    done += count;
  }
  return all;
}

// The same function written plainly in double, for one sequence from position 0.
class Oracle {
 public:
  Oracle(const BlockSpec& spec, const RandomModel& random) : spec_(spec), random_(random) {}

  std::vector<double> logits(const std::vector<std::int32_t>& tokens) {
    const std::size_t d = spec_.width;
    std::vector<std::vector<double>> x;
    for (const auto token : tokens) {
      const float* row = random_.decoded[0].data() + static_cast<std::size_t>(token) * d;
      x.emplace_back(row, row + d);
    }
    for (std::size_t layer = 0; layer < spec_.layers; ++layer) block(layer, x);
    std::vector<double> result;
    for (auto& row : x) {
      const auto y = multiply(0, norm(row, random_.model->final_norm()));
      result.insert(result.end(), y.begin(), y.end());
    }
    return result;
  }

 private:
  std::vector<double> norm(const std::vector<double>& x, const std::vector<float>& weight) const {
    double squares = 0;
    for (const double v : x) squares += v * v;
    const double scale =
        1.0 / std::sqrt(squares / static_cast<double>(x.size()) + spec_.norm_epsilon);
    std::vector<double> y(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) y[i] = x[i] * scale * weight[i];
    return y;
  }
  std::vector<double> multiply(std::size_t slot, const std::vector<double>& x) const {
    return multiply(random_.decoded[slot], x, 0, random_.decoded[slot].size() / x.size());
  }
  // Rows first..first+rows-1.
  static std::vector<double> multiply(const std::vector<float>& w, const std::vector<double>& x,
                                      std::size_t first, std::size_t rows) {
    std::vector<double> y(rows);
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t c = 0; c < x.size(); ++c) y[r] += w[(first + r) * x.size() + c] * x[c];
    }
    return y;
  }
  // The mixture as its formula has it: every expert, most of them times 0.
  void add_experts(std::size_t layer, const std::vector<double>& f, std::vector<double>& x) const {
    const ExpertSpec& experts = *spec_.experts;
    const auto slot = [&](MatrixKind kind) -> const std::vector<float>& {
      return random_.decoded[random_.model->index_of({kind, layer})];
    };
    const auto scores = multiply(random_.routers[layer], f, 0, experts.count);
    std::vector<double> sorted = scores;
    std::sort(sorted.rbegin(), sorted.rend());
    double sum = 0;
    for (std::size_t i = 0; i < (experts.is_renormalized ? experts.used : experts.count); ++i) {
      sum += std::exp(sorted[i]);
    }
    for (std::size_t e = 0; e < experts.count; ++e) {
      if (scores[e] < sorted[experts.used - 1]) continue;
      auto gate = multiply(slot(MatrixKind::kExpertGate), f, e * spec_.ffn_width, spec_.ffn_width);
      const auto up =
          multiply(slot(MatrixKind::kExpertUp), f, e * spec_.ffn_width, spec_.ffn_width);
      for (std::size_t i = 0; i < gate.size(); ++i) {
        gate[i] = gate[i] / (1 + std::exp(-gate[i])) * up[i];
      }
      auto out = multiply(slot(MatrixKind::kExpertDown), gate, e * spec_.width, spec_.width);
      for (double& value : out) value *= std::exp(scores[e]) / sum;
      add(x, out);
    }
  }
  void rotate(double* head, std::size_t position) const {
    for (std::size_t i = 0; i < spec_.ropes[0].width / 2; ++i) {
      const double angle =
          static_cast<double>(position) *
          std::pow(spec_.ropes[0].base,
                   -2.0 * static_cast<double>(i) / static_cast<double>(spec_.ropes[0].width));
      const double a = head[2 * i];
      const double b = head[2 * i + 1];
      head[2 * i] = a * std::cos(angle) - b * std::sin(angle);
      head[2 * i + 1] = a * std::sin(angle) + b * std::cos(angle);
    }
  }
  void block(std::size_t layer, std::vector<std::vector<double>>& x) const {
    const auto slot = [&](MatrixKind kind) { return random_.model->index_of({kind, layer}); };
    const std::size_t hd = spec_.head_width;
    std::vector<std::vector<double>> keys;
    std::vector<std::vector<double>> values;
    for (std::size_t t = 0; t < x.size(); ++t) {
      const auto h = norm(x[t], random_.model->norms(layer).attention);
      auto q = multiply(slot(MatrixKind::kQuery), h);
      auto k = multiply(slot(MatrixKind::kKey), h);
      values.push_back(multiply(slot(MatrixKind::kValue), h));
      for (std::size_t i = 0; i < spec_.heads; ++i) rotate(q.data() + i * hd, t);
      for (std::size_t i = 0; i < spec_.kv_heads; ++i) rotate(k.data() + i * hd, t);
      keys.push_back(std::move(k));
      std::vector<double> attended(q.size());
      for (std::size_t i = 0; i < spec_.heads; ++i) {
        const std::size_t kv = i / spec_.group() * hd;
        std::vector<double> weights(t + 1);
        double total = 0;
        for (std::size_t s = 0; s <= t; ++s) {
          double dot = 0;
          for (std::size_t c = 0; c < hd; ++c) dot += q[i * hd + c] * keys[s][kv + c];
          weights[s] = std::exp(dot / std::sqrt(static_cast<double>(hd)));
          total += weights[s];
        }
        for (std::size_t s = 0; s <= t; ++s) {
          for (std::size_t c = 0; c < hd; ++c) {
            attended[i * hd + c] += weights[s] / total * values[s][kv + c];
          }
        }
      }
      add(x[t], multiply(slot(MatrixKind::kAttentionOut), attended));
      const auto f = norm(x[t], random_.model->norms(layer).ffn);
      if (spec_.experts) {
        add_experts(layer, f, x[t]);
        continue;
      }
      auto gate = multiply(slot(MatrixKind::kGate), f);
      const auto up = multiply(slot(MatrixKind::kUp), f);
      for (std::size_t i = 0; i < gate.size(); ++i)
        gate[i] = gate[i] / (1 + std::exp(-gate[i])) * up[i];
      add(x[t], multiply(slot(MatrixKind::kDown), gate));
    }
  }
  static void add(std::vector<double>& x, const std::vector<double>& y) {
    for (std::size_t i = 0; i < x.size(); ++i) x[i] += y[i];
  }
  const BlockSpec& spec_;
  const RandomModel& random_;
};

double relative_error(const std::vector<float>& got, const std::vector<double>& want) {
  double difference = 0;
  double size = 0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    difference += (got[i] - want[i]) * (got[i] - want[i]);
    size += want[i] * want[i];
  }
  return std::sqrt(difference / size);
}

constexpr DType kTypes[] = {DType::kF32,  DType::kF16,    DType::kBF16,  DType::kQ8_0,
                            DType::kQ4_0, DType::kQ4_1,   DType::kQ5_0,  DType::kQ5_1,
                            DType::kQ2_K, DType::kQ3_K,   DType::kQ4_K,  DType::kQ5_K,
                            DType::kQ6_K, DType::kIQ4_NL, DType::kIQ4_XS};

// The tiny model with rows of whole blocks.
BlockSpec spec_for(DType type) {
  BlockSpec spec = tiny_spec();
  if (dtype_info(type).block_values == 256) {
    spec.width = 256;
    spec.ffn_width = 256;
    spec.heads = 8;
  }
  return spec;
}

TEST(Forward, ExactNumericsMatchADoublePrecisionOracle) {
  for (const DType type : kTypes) {
    const BlockSpec spec = spec_for(type);
    const auto tokens = test_tokens(70, spec.vocabulary, 1);
    const RandomModel random = random_model(spec, type, 11);
    const auto want = Oracle(spec, random).logits(tokens);
    const auto got =
        run_chunks(*random.model, tokens, {70}, 2, Numerics::kExact, kernels::KvType::kF32);
    ASSERT_EQ(got.size(), want.size());
    EXPECT_LT(relative_error(got, want), 3e-6) << dtype_name(type);
  }
}

TEST(Forward, ExpertsMatchADoublePrecisionOracle) {
  for (const bool is_renormalized : {true, false}) {
    BlockSpec spec = testing::expert_spec();
    spec.experts->is_renormalized = is_renormalized;
    for (const DType type : {DType::kF32, DType::kQ4_K}) {
      const RandomModel random = random_model(spec, type, 31);
      const auto tokens = test_tokens(40, spec.vocabulary, 9);
      const auto want = Oracle(spec, random).logits(tokens);
      const auto exact =
          run_chunks(*random.model, tokens, {40}, 2, Numerics::kExact, kernels::KvType::kF32);
      EXPECT_LT(relative_error(exact, want), 1e-5);
    }
  }
}

// More rows than an expert multiplies at once: each of its weights is read twice.
TEST(Forward, ExpertsOfManyRowsGiveTheSameBits) {
  BlockSpec spec = testing::expert_spec();
  spec.experts = ExpertSpec{.count = 2, .used = 2};
  const RandomModel random = random_model(spec, DType::kQ4_0, 32);
  const auto tokens = test_tokens(300, spec.vocabulary, 10);
  const auto executor = make_executor(2);
  const ModelView view(*random.model);
  const auto run = [&](std::size_t chunk) {
    auto forward = Forward::create(spec, {.tokens_max = 300}, *executor).value();
    KvPool pool = KvPool::create(spec, kernels::KvType::kQ8, {.tokens = 320}).value();
    KvSequence sequence(pool);
    CollectSink sink;
    ForwardOptions options;
    options.sink = &sink;
    for (std::size_t done = 0; done < tokens.size(); done += chunk) {
      EXPECT_TRUE(sequence.grow(chunk));
      const Segment segment{&sequence, std::span(tokens).subspan(done, chunk), chunk};
      forward->run(view, {&segment, 1}, options);
    }
    return sink.rows;
  };
  EXPECT_EQ(run(300), run(60));
}

TEST(Forward, ServedNumericsStayNearTheOracle) {
  for (const DType type : kTypes) {
    const BlockSpec spec = spec_for(type);
    const auto tokens = test_tokens(70, spec.vocabulary, 2);
    const RandomModel random = random_model(spec, type, 12);
    const auto want = Oracle(spec, random).logits(tokens);
    const auto got =
        run_chunks(*random.model, tokens, {70}, 2, Numerics::kServed, kernels::KvType::kQ8);
    const double error = relative_error(got, want);
    EXPECT_LT(error, 0.06) << dtype_name(type);
    EXPECT_GT(error, 1e-5) << "int8 activations or cache were not used";
  }
}

// Steps of many tokens round products to BF16 where the level prefers it, those of few do not.
TEST(Forward, FastNumericsRoundTheProductsOfManyRows) {
  for (const kernels::IsaLevel& level : kernels::isa_levels()) {
    if (!level.supported() || level.missing_for_bf16() != nullptr) continue;
    SCOPED_TRACE(level.name);
    ASSERT_TRUE(kernels::select_isa(level.name).has_value());
    for (const DType type : {DType::kF16, DType::kQ4_0}) {
      const BlockSpec spec = spec_for(type);
      const auto tokens = test_tokens(40, spec.vocabulary, 2);
      const RandomModel random = random_model(spec, type, 12);
      const auto run = [&](std::size_t chunk, Numerics numerics) {
        return run_chunks(*random.model, tokens, {chunk}, 2, numerics, kernels::KvType::kF16);
      };
      const std::vector<float> served = run(40, Numerics::kServed);
      const std::vector<double> want(served.begin(), served.end());
      const double error = relative_error(run(40, Numerics::kFast), want);
      const bool is_rounded =
          product_of(type, 40, Numerics::kFast, kernels::kernels()) == Product::kRounded;
      EXPECT_EQ(error > 0, is_rounded) << dtype_name(type);
      EXPECT_LT(error, type == DType::kF16 ? 0.02 : 0.06) << dtype_name(type);
      EXPECT_EQ(run(8, Numerics::kFast), served) << dtype_name(type);
      // Not of other tokens, but threads do not matter.
      EXPECT_EQ(run(40, Numerics::kFast),
                run_chunks(*random.model, tokens, {40}, 3, Numerics::kFast, kernels::KvType::kF16));
    }
  }
  ASSERT_TRUE(kernels::select_isa(nullptr).has_value());
}

TEST(Product, FollowsNumericsTypeAndRows) {
  kernels::KernelTable table;
  table.bf16_from = {.float_types = 13};
  const auto of = [&](DType type, std::size_t rows, Numerics numerics) {
    return product_of(type, rows, numerics, table);
  };
  EXPECT_EQ(of(DType::kQ4_0, 100, Numerics::kExact), Product::kFloats);
  EXPECT_EQ(of(DType::kQ4_0, 100, Numerics::kServed), Product::kCodes);
  EXPECT_EQ(of(DType::kF16, 100, Numerics::kServed), Product::kFloats);
  EXPECT_EQ(of(DType::kF16, 13, Numerics::kFast), Product::kRounded);
  EXPECT_EQ(of(DType::kF16, 12, Numerics::kFast), Product::kFloats);
  EXPECT_EQ(of(DType::kQ4_0, 100, Numerics::kFast), Product::kCodes);
  table.bf16_from.block_types = 9;
  EXPECT_EQ(of(DType::kQ4_0, 9, Numerics::kFast), Product::kRounded);
  EXPECT_EQ(of(DType::kQ4_0, 8, Numerics::kFast), Product::kCodes);
  EXPECT_EQ(head_numerics(Numerics::kFast), Numerics::kServed);
  EXPECT_EQ(head_numerics(Numerics::kExact), Numerics::kExact);
}

// One key channel far above the others, as Qwen2 has: key_balance.h keeps the others' bits.
TEST(Forward, LargeKeyBiasesDoNotSpoilAnInt8Cache) {
  BlockSpec spec = tiny_spec();
  spec.has_qkv_biases = true;
  const auto tokens = test_tokens(70, spec.vocabulary, 2);
  const RandomModel random = random_model(spec, DType::kF32, 12, [&](ModelVectors& vectors) {
    const auto slots = matrix_slots(spec);
    for (std::size_t i = 0; i < slots.size(); ++i) {
      if (slots[i].id.kind == MatrixKind::kKey) vectors.biases[i][5] = 20.0F;
      if (slots[i].id.kind != MatrixKind::kQuery) continue;
      for (std::size_t h = 0; h < spec.heads; ++h) vectors.biases[i][h * spec.head_width + 5] = 0;
    }
  });
  const auto run = [&](kernels::KvType kv) {
    return run_chunks(*random.model, tokens, {70}, 2, Numerics::kExact, kv);
  };
  const std::vector<float> exact = run(kernels::KvType::kF32);
  const std::vector<double> want(exact.begin(), exact.end());
  EXPECT_LT(relative_error(run(kernels::KvType::kQ8), want), 0.035);  // 0.056 without
}

struct Case {
  DType type;
  Numerics numerics;
  kernels::KvType kv;
  enum class Shape : std::uint8_t { kTiny, kRich, kExperts } shape = Shape::kTiny;
  BlockSpec spec() const {
    if (shape == Shape::kExperts) return testing::expert_spec();
    return shape == Shape::kRich ? testing::rich_spec() : spec_for(type);
  }
};

class BatchInvariance : public ::testing::TestWithParam<Case> {};

TEST_P(BatchInvariance, ChunksAndThreadsGiveTheSameBits) {
  const Case param = GetParam();
  const RandomModel random = random_model(param.spec(), param.type, 13);
  const auto tokens = test_tokens(90, random.model->spec().vocabulary, 3);
  const auto run = [&](std::vector<std::size_t> chunks, std::size_t threads) {
    return run_chunks(*random.model, tokens, chunks, threads, param.numerics, param.kv);
  };
  const auto want = run({90}, 1);
  EXPECT_EQ(run({90}, 2), want);
  EXPECT_EQ(run({90}, 3), want);
  EXPECT_EQ(run({1}, 1), want);
  EXPECT_EQ(run({1}, 2), want);
  EXPECT_EQ(run({7, 33, 2}, 2), want);
  EXPECT_EQ(run({64, 5}, 3), want);
}

// Long enough for several spans of attention, which few tokens divide among the workers.
TEST_P(BatchInvariance, DividedAttentionGivesTheSameBits) {
  const Case param = GetParam();
  const RandomModel random = random_model(param.spec(), param.type, 15);
  const auto tokens = test_tokens(620, random.model->spec().vocabulary, 6);
  const auto run = [&](std::vector<std::size_t> chunks, std::size_t threads) {
    return run_chunks(*random.model, tokens, chunks, threads, param.numerics, param.kv,
                      {.tokens = 640});
  };
  const auto want = run({100}, 1);
  EXPECT_EQ(run({100, 100, 100, 100, 100, 1, 1, 1, 1, 1, 1, 1, 1, 1, 3, 1, 16, 15}, 2), want);
  EXPECT_EQ(run({100, 99, 101, 100, 100, 10, 4, 1, 1, 100, 100, 100, 2, 50}, 3), want);
}

TEST_P(BatchInvariance, OtherSequencesInTheBatchDoNotMatter) {
  const Case param = GetParam();
  const RandomModel random = random_model(param.spec(), param.type, 14);
  const Model& model = *random.model;
  const auto a = test_tokens(40, model.spec().vocabulary, 4);
  const auto b = test_tokens(23, model.spec().vocabulary, 5);
  const auto want_a = run_chunks(model, a, {40}, 2, param.numerics, param.kv);
  const auto want_b = run_chunks(model, b, {23}, 2, param.numerics, param.kv);
  const auto executor = make_executor(2);
  const ModelView view(model);
  auto forward = Forward::create(model.spec(), {.tokens_max = 128}, *executor).value();
  KvPool pool = KvPool::create(model.spec(), param.kv, {.tokens = 256}).value();
  KvSequence first(pool);
  KvSequence second(pool);
  ASSERT_TRUE(first.grow(a.size()));
  ASSERT_TRUE(second.grow(b.size()));
  const Segment segments[] = {{&second, b, b.size()}, {&first, a, a.size()}};
  CollectSink sink;
  ForwardOptions options;
  options.numerics = param.numerics;
  options.sink = &sink;
  forward->run(view, segments, options);
  const auto split = sink.rows.begin() + static_cast<std::ptrdiff_t>(want_b.size());
  EXPECT_EQ(std::vector<float>(sink.rows.begin(), split), want_b);
  EXPECT_EQ(std::vector<float>(split, sink.rows.end()), want_a);
}

INSTANTIATE_TEST_SUITE_P(Rich, BatchInvariance,
                         ::testing::Values(Case{DType::kF32, Numerics::kExact,
                                                kernels::KvType::kF32, Case::Shape::kRich},
                                           Case{DType::kF16, Numerics::kServed,
                                                kernels::KvType::kF16, Case::Shape::kRich},
                                           Case{DType::kQ5_0, Numerics::kServed,
                                                kernels::KvType::kQ8, Case::Shape::kRich}));

INSTANTIATE_TEST_SUITE_P(
    Experts, BatchInvariance,
    ::testing::Values(
        Case{DType::kF32, Numerics::kExact, kernels::KvType::kF32, Case::Shape::kExperts},
        Case{DType::kF16, Numerics::kServed, kernels::KvType::kF16, Case::Shape::kExperts},
        Case{DType::kQ4_K, Numerics::kServed, kernels::KvType::kQ8, Case::Shape::kExperts},
        Case{DType::kQ5_0, Numerics::kServed, kernels::KvType::kQ8, Case::Shape::kExperts}));

TEST(Forward, PagesThatLeftTheWindowAreNotMissed) {
  const RandomModel random = random_model(testing::rich_spec(), DType::kQ8_0, 21);
  const auto tokens = test_tokens(200, random.model->spec().vocabulary, 8);
  const auto run = [&](std::vector<std::size_t> chunks, const KvCapacity& capacity) {
    return run_chunks(*random.model, tokens, chunks, 2, Numerics::kServed, kernels::KvType::kQ8,
                      capacity);
  };
  const auto want = run({100}, {.tokens = 200});
  EXPECT_EQ(run({1}, {.tokens = 200, .step_tokens = 1}), want);
  EXPECT_EQ(run({7, 30}, {.tokens = 200, .step_tokens = 30}), want);
  // Pages change hands: the windowed layers have room for less than a third of the text.
  EXPECT_LT(KvPool::bytes_for(random.model->spec(), kernels::KvType::kQ8,
                              {.tokens = 200, .step_tokens = 1}),
            KvPool::bytes_for(random.model->spec(), kernels::KvType::kQ8, {.tokens = 200}));
}

INSTANTIATE_TEST_SUITE_P(
    Types, BatchInvariance,
    ::testing::Values(Case{DType::kF32, Numerics::kExact, kernels::KvType::kF32},
                      Case{DType::kQ4_0, Numerics::kExact, kernels::KvType::kF32},
                      Case{DType::kF16, Numerics::kServed, kernels::KvType::kQ8},
                      Case{DType::kBF16, Numerics::kServed, kernels::KvType::kF16},
                      Case{DType::kQ8_0, Numerics::kServed, kernels::KvType::kQ8},
                      Case{DType::kQ4_0, Numerics::kServed, kernels::KvType::kQ8},
                      Case{DType::kQ4_1, Numerics::kServed, kernels::KvType::kQ8},
                      Case{DType::kQ5_0, Numerics::kServed, kernels::KvType::kF16},
                      Case{DType::kQ5_1, Numerics::kServed, kernels::KvType::kQ8},
                      Case{DType::kQ4_K, Numerics::kExact, kernels::KvType::kF32},
                      Case{DType::kQ2_K, Numerics::kServed, kernels::KvType::kQ8},
                      Case{DType::kQ3_K, Numerics::kServed, kernels::KvType::kQ8},
                      Case{DType::kQ4_K, Numerics::kServed, kernels::KvType::kQ8},
                      Case{DType::kQ5_K, Numerics::kServed, kernels::KvType::kQ8},
                      Case{DType::kQ6_K, Numerics::kServed, kernels::KvType::kQ8},
                      Case{DType::kIQ4_NL, Numerics::kServed, kernels::KvType::kQ8},
                      Case{DType::kIQ4_XS, Numerics::kServed, kernels::KvType::kQ8}));

class LayerInput : public Taps {
 public:
  explicit LayerInput(std::size_t layer) : layer_(layer) {}
  bool wants(TapSite site) const override { return site == TapSite::kLayerInput; }
  void observe(TapSite, std::size_t layer, const float* data, std::size_t rows,
               std::size_t width) override {
    if (layer == layer_) values.assign(data, data + rows * width);
  }
  std::vector<float> values;

 private:
  std::size_t layer_;
};

TEST(Forward, StartingAtALayerContinuesTheFullRun) {
  const RandomModel random = random_model(tiny_spec(), DType::kF32, 15);
  const Model& model = *random.model;
  const auto tokens = test_tokens(50, model.spec().vocabulary, 6);
  const auto executor = make_executor(2);
  const ModelView view(model);
  auto forward = Forward::create(model.spec(), {.tokens_max = 64}, *executor).value();
  KvPool pool = KvPool::create(model.spec(), kernels::KvType::kF32, {.tokens = 64}).value();
  const auto run = [&](ForwardOptions options) {
    KvSequence sequence(pool);
    EXPECT_TRUE(sequence.grow(tokens.size()));
    CollectSink sink;
    const Segment segment{&sequence, tokens, 5};
    options.numerics = Numerics::kExact;
    options.sink = &sink;
    forward->run(view, {&segment, 1}, options);
    return sink.rows;
  };
  LayerInput tap(1);
  ForwardOptions full;
  full.taps = &tap;
  const auto want = run(full);
  EXPECT_EQ(want.size(), 5 * model.spec().vocabulary);
  ForwardOptions rest;
  rest.first_layer = 1;
  rest.hidden = tap.values.data();
  EXPECT_EQ(run(rest), want);
}

TEST(ModelView, AnOverlayReplacesOneMatrixOnly) {
  const RandomModel a = random_model(tiny_spec(), DType::kF32, 16);
  const RandomModel b = random_model(tiny_spec(), DType::kF32, 17);
  ModelView view(*a.model);
  const std::size_t slot = a.model->index_of({MatrixKind::kDown, 1});
  view.replace(slot, &b.model->matrix(slot));
  for (std::size_t i = 0; i < a.model->matrix_count(); ++i) {
    EXPECT_EQ(&view.matrix(i), i == slot ? &b.model->matrix(i) : &a.model->matrix(i));
  }
  view.replace(slot, nullptr);
  EXPECT_EQ(&view.matrix(slot), &a.model->matrix(slot));
}

}  // namespace
}  // namespace paring::model
