// SPDX-License-Identifier: Apache-2.0
// The encoder's forward pass against one in double precision, and its promise: a text's states do
// not depend on its company or the threads, bit by bit, for every kind of weight.
#include "model/encoder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "model/testing/random_model.h"

namespace paring::model {
namespace {

using testing::random_values;

BlockSpec tiny_encoder() {
  BlockSpec spec;
  spec.architecture = "bert";
  spec.layers = 2;
  spec.width = 64;
  spec.ffn_width = 96;
  spec.heads = 2;
  spec.kv_heads = 2;
  spec.head_width = 32;
  spec.vocabulary = 50;
  spec.context_max = 150;
  spec.norm_epsilon = 1e-6F;
  spec.encoder = EncoderSpec{};
  spec.encoder->token_types = 2;
  spec.encoder->labels = 3;
  spec.encoder->has_head_dense = true;
  return spec;
}

struct TinyEncoder {
  std::shared_ptr<const Model> model;
  std::vector<std::vector<float>> decoded;  // matrices by slot
};

LayerNormWeights random_norm(std::size_t width, std::uint64_t& seed) {
  LayerNormWeights norm{random_values(width, ++seed, 0.2), random_values(width, ++seed, 0.2)};
  for (float& weight : norm.weight) weight += 1.0F;
  return norm;
}

TinyEncoder random_encoder(const BlockSpec& spec, DType type) {
  std::uint64_t seed = 100;
  EncoderTables tables;
  tables.positions = random_values(spec.context_max * spec.width, ++seed, 0.5);
  tables.token_types = random_values(spec.encoder->token_types * spec.width, ++seed, 0.5);
  tables.embedding_norm = random_norm(spec.width, seed);
  for (std::size_t layer = 0; layer < spec.layers; ++layer) {
    tables.norms.push_back({random_norm(spec.width, seed), random_norm(spec.width, seed)});
  }
  const auto pack = [&](std::size_t rows) {
    const std::vector<float> values = random_values(rows * spec.width, ++seed, 0.2);
    return kernels::pack(DType::kF32, reinterpret_cast<const std::byte*>(values.data()), rows,
                         spec.width)
        .value();
  };
  tables.head_dense = pack(spec.width);
  tables.head_dense_bias = random_values(spec.width, ++seed, 0.1);
  tables.head_out = pack(spec.encoder->labels);
  tables.head_out_bias = random_values(spec.encoder->labels, ++seed, 0.1);
  std::vector<std::vector<float>> biases;
  for (const MatrixSlot& slot : matrix_slots(spec)) {
    biases.push_back(slot.id.kind == MatrixKind::kEmbedding
                         ? std::vector<float>()
                         : random_values(slot.rows, ++seed, 0.1));
  }
  testing::RandomModel made = testing::random_model(spec, type, 7, [&](ModelVectors& vectors) {
    vectors.norms.clear();
    vectors.final_norm.clear();
    vectors.biases = std::move(biases);
    vectors.encoder = std::move(tables);
  });
  return {std::move(made.model), std::move(made.decoded)};
}

struct Sample {
  std::vector<std::int32_t> tokens;
  std::vector<std::uint8_t> types;
};

std::vector<Sample> samples(const BlockSpec& spec) {
  std::vector<Sample> made;
  for (const std::size_t length : {1, 31, 32, 33, 64, 150, 5}) {
    Sample sample;
    for (std::size_t i = 0; i < length; ++i) {
      sample.tokens.push_back(static_cast<std::int32_t>((i * 7 + length) % spec.vocabulary));
      sample.types.push_back(i > length / 2 ? 1 : 0);
    }
    made.push_back(std::move(sample));
  }
  return made;
}

using Rows = std::vector<std::vector<double>>;

// y = W x + b of slot `id`.
std::vector<double> multiply(const TinyEncoder& tiny, MatrixId id, const std::vector<double>& x) {
  const std::size_t slot = tiny.model->index_of(id);
  const MatrixSlot& shape = tiny.model->slot(slot);
  std::vector<double> y(shape.rows);
  for (std::size_t r = 0; r < shape.rows; ++r) {
    y[r] = static_cast<double>(tiny.model->bias(slot)[r]);
    for (std::size_t c = 0; c < shape.cols; ++c) {
      y[r] += static_cast<double>(tiny.decoded[slot][r * shape.cols + c]) * x[c];
    }
  }
  return y;
}

void norm(const LayerNormWeights& weights, double epsilon, std::vector<double>& x) {
  double mean = 0;
  for (const double v : x) mean += v / static_cast<double>(x.size());
  double variance = 0;
  for (const double v : x) variance += (v - mean) * (v - mean) / static_cast<double>(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    x[i] = (x[i] - mean) / std::sqrt(variance + epsilon) * static_cast<double>(weights.weight[i]) +
           static_cast<double>(weights.bias[i]);
  }
}

// Scores of every pair of tokens, softmax, weighted values: [tokens, D].
Rows attend(const BlockSpec& spec, const Rows& q, const Rows& k, const Rows& v) {
  Rows out(q.size(), std::vector<double>(spec.width));
  for (std::size_t head = 0; head < spec.heads; ++head) {
    const std::size_t first = head * spec.head_width;
    for (std::size_t t = 0; t < q.size(); ++t) {
      std::vector<double> weights;
      double total = 0;
      for (std::size_t s = 0; s < k.size(); ++s) {
        double score = 0;
        for (std::size_t d = first; d < first + spec.head_width; ++d) score += q[t][d] * k[s][d];
        weights.push_back(std::exp(score / std::sqrt(static_cast<double>(spec.head_width))));
        total += weights.back();
      }
      for (std::size_t s = 0; s < k.size(); ++s) {
        for (std::size_t d = first; d < first + spec.head_width; ++d) {
          out[t][d] += weights[s] / total * v[s][d];
        }
      }
    }
  }
  return out;
}

double gelu(double v) { return v / 2 * std::erfc(-v / std::sqrt(2.0)); }

Rows in_double(const TinyEncoder& tiny, const Sample& sample) {
  const BlockSpec& spec = tiny.model->spec();
  const EncoderTables& tables = tiny.model->encoder_tables();
  const auto epsilon = static_cast<double>(spec.norm_epsilon);
  Rows x;
  for (std::size_t t = 0; t < sample.tokens.size(); ++t) {
    std::vector<double> row(spec.width);
    for (std::size_t c = 0; c < spec.width; ++c) {
      const auto id = static_cast<std::size_t>(sample.tokens[t]);
      row[c] = static_cast<double>(tiny.decoded[0][id * spec.width + c]) +
               static_cast<double>(tables.token_types[sample.types[t] * spec.width + c]) +
               static_cast<double>(tables.positions[t * spec.width + c]);
    }
    norm(tables.embedding_norm, epsilon, row);
    x.push_back(std::move(row));
  }
  for (std::size_t layer = 0; layer < spec.layers; ++layer) {
    Rows q, k, v;
    for (const auto& row : x) {
      q.push_back(multiply(tiny, {MatrixKind::kQuery, layer}, row));
      k.push_back(multiply(tiny, {MatrixKind::kKey, layer}, row));
      v.push_back(multiply(tiny, {MatrixKind::kValue, layer}, row));
    }
    const Rows attended = attend(spec, q, k, v);
    for (std::size_t t = 0; t < x.size(); ++t) {
      const auto out = multiply(tiny, {MatrixKind::kAttentionOut, layer}, attended[t]);
      for (std::size_t c = 0; c < spec.width; ++c) x[t][c] += out[c];
      norm(tables.norms[layer].attention, epsilon, x[t]);
      auto inner = multiply(tiny, {MatrixKind::kUp, layer}, x[t]);
      for (double& value : inner) value = gelu(value);
      const auto down = multiply(tiny, {MatrixKind::kDown, layer}, inner);
      for (std::size_t c = 0; c < spec.width; ++c) x[t][c] += down[c];
      norm(tables.norms[layer].ffn, epsilon, x[t]);
    }
  }
  return x;
}

class Threads {
 public:
  explicit Threads(std::size_t count)
      : executor_(Executor::create({.threads = count, .pin = false}).value()) {}
  Executor& operator*() { return *executor_; }

 private:
  std::unique_ptr<Executor> executor_;
};

std::vector<EncoderText> texts_of(const std::vector<Sample>& all) {
  std::vector<EncoderText> texts;
  for (const Sample& sample : all) texts.push_back({sample.tokens, sample.types});
  return texts;
}

std::vector<float> states(const TinyEncoder& tiny, const std::vector<EncoderText>& texts,
                          std::size_t threads, Numerics numerics) {
  Threads executor(threads);
  const auto encoder = Encoder::create(tiny.model->spec(), 400, *executor).value();
  const ModelView view(*tiny.model);
  const auto found = encoder->run(view, texts, {.numerics = numerics});
  return {found.begin(), found.end()};
}

TEST(Encoder, StatesAreThoseOfDoublePrecision) {
  const TinyEncoder tiny = random_encoder(tiny_encoder(), DType::kF32);
  const std::vector<Sample> all = samples(tiny.model->spec());
  const std::vector<float> found = states(tiny, texts_of(all), 2, Numerics::kExact);
  std::size_t at = 0;
  for (const Sample& sample : all) {
    for (const auto& row : in_double(tiny, sample)) {
      for (const double value : row) ASSERT_NEAR(found[at++], value, 5e-5);
    }
  }
  EXPECT_EQ(at, found.size());
}

TEST(Encoder, ATextDoesNotFeelItsCompanyNorTheThreads) {
  for (const DType type : {DType::kF32, DType::kF16, DType::kQ8_0, DType::kQ4_0, DType::kQ5_1}) {
    for (const Numerics numerics : {Numerics::kServed, Numerics::kExact}) {
      const TinyEncoder tiny = random_encoder(tiny_encoder(), type);
      const std::vector<Sample> all = samples(tiny.model->spec());
      const std::vector<EncoderText> texts = texts_of(all);
      const std::vector<float> together = states(tiny, texts, 1, numerics);
      EXPECT_EQ(states(tiny, texts, 2, numerics), together);
      EXPECT_EQ(states(tiny, texts, 3, numerics), together);
      std::size_t at = 0;
      for (const EncoderText& text : texts) {
        const std::vector<float> alone = states(tiny, {text}, 2, numerics);
        ASSERT_TRUE(std::equal(alone.begin(), alone.end(), together.begin() + at))
            << dtype_name(type) << ", " << text.tokens.size() << " tokens";
        at += alone.size();
      }
    }
  }
}

TEST(Encoder, ServedStatesStayNearExactOnes) {
  const TinyEncoder tiny = random_encoder(tiny_encoder(), DType::kQ8_0);
  const std::vector<Sample> all = samples(tiny.model->spec());
  const std::vector<float> exact = states(tiny, texts_of(all), 2, Numerics::kExact);
  const std::vector<float> served = states(tiny, texts_of(all), 2, Numerics::kServed);
  double largest = 0;
  for (std::size_t i = 0; i < exact.size(); ++i) {
    largest = std::max(largest, std::fabs(static_cast<double>(exact[i] - served[i])));
  }
  EXPECT_GT(largest, 1e-4) << "activations were not rounded";
  EXPECT_LT(largest, 0.15);
}

TEST(Encoder, PoolingTakesWhatItSays) {
  const float states[] = {1, 2, 3, 4, 5, 9};
  float out[2];
  pool(Pooling::kMean, states, 3, 2, out);
  EXPECT_FLOAT_EQ(out[0], 3);
  EXPECT_FLOAT_EQ(out[1], 5);
  pool(Pooling::kFirst, states, 3, 2, out);
  EXPECT_FLOAT_EQ(out[1], 2);
  pool(Pooling::kLast, states, 3, 2, out);
  EXPECT_FLOAT_EQ(out[1], 9);
  normalize(out, 2);
  EXPECT_FLOAT_EQ(out[0] * out[0] + out[1] * out[1], 1);
  float zeros[] = {0, 0};
  normalize(zeros, 2);
  EXPECT_EQ(zeros[0], 0);
}

TEST(Encoder, TheHeadIsTwoMatricesWithABendBetween) {
  BlockSpec spec = tiny_encoder();
  const std::vector<float> x = random_values(2 * spec.width, 3, 1.0);
  for (const HeadActivation activation : {HeadActivation::kTanh, HeadActivation::kRelu}) {
    spec.encoder->head_activation = activation;
    const TinyEncoder tiny = random_encoder(spec, DType::kF32);
    const EncoderTables& tables = tiny.model->encoder_tables();
    std::vector<float> outputs(2 * spec.encoder->labels);
    classify(*tiny.model, x.data(), 2, outputs.data());
    std::vector<float> row(spec.width);
    std::vector<double> hidden(spec.width);
    for (std::size_t n = 0; n < spec.width; ++n) {
      kernels::unpack_row_f32(tables.head_dense, n, row.data());
      double sum = static_cast<double>(tables.head_dense_bias[n]);
      for (std::size_t c = 0; c < spec.width; ++c) {
        sum += static_cast<double>(row[c]) * static_cast<double>(x[spec.width + c]);
      }
      hidden[n] = activation == HeadActivation::kTanh ? std::tanh(sum) : std::max(sum, 0.0);
    }
    kernels::unpack_row_f32(tables.head_out, 2, row.data());
    double expected = static_cast<double>(tables.head_out_bias[2]);
    for (std::size_t c = 0; c < spec.width; ++c)
      expected += static_cast<double>(row[c]) * hidden[c];
    EXPECT_NEAR(outputs[5], expected, 1e-5);
  }
}

}  // namespace
}  // namespace paring::model
