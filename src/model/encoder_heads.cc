// SPDX-License-Identifier: Apache-2.0
// What becomes of an encoder's states: pooling, length, classification head. A few operations a
// text, next to nothing beside the layers: on the caller's thread.
#include <algorithm>
#include <cmath>
#include <vector>

#include "base/check.h"
#include "kernels/ops.h"
#include "model/encoder.h"

namespace paring::model {

void pool(Pooling pooling, const float* states, std::size_t tokens, std::size_t width, float* out) {
  PARING_CHECK(pooling != Pooling::kNone && tokens > 0, "something to pool");
  const std::size_t row = pooling == Pooling::kLast ? tokens - 1 : 0;
  std::copy_n(states + row * width, width, out);
  if (pooling != Pooling::kMean) return;
  for (std::size_t t = 1; t < tokens; ++t) kernels::kernels().add(out, states + t * width, width);
  for (std::size_t c = 0; c < width; ++c) out[c] /= static_cast<float>(tokens);
}

void normalize(float* vector, std::size_t width) {
  double squares = 0;
  for (std::size_t c = 0; c < width; ++c) {
    squares += static_cast<double>(vector[c]) * static_cast<double>(vector[c]);
  }
  if (squares == 0) return;
  const double scale = 1 / std::sqrt(squares);
  for (std::size_t c = 0; c < width; ++c) {
    vector[c] = static_cast<float>(static_cast<double>(vector[c]) * scale);
  }
}

namespace {

// out [rows, w.rows] = W x + bias.
void multiply(const kernels::PackedMatrix& w, const std::vector<float>& bias, const float* x,
              std::size_t rows, float* out) {
  const kernels::KernelTable& table = kernels::kernels();
  table.matmul_f(w, x, w.cols, rows, out, w.rows, {0, w.panels()});
  for (std::size_t r = 0; r < rows; ++r) table.add(out + r * w.rows, bias.data(), w.rows);
}

}  // namespace

void classify(const Model& model, const float* states, std::size_t rows, float* outputs) {
  const EncoderSpec& spec = *model.spec().encoder;
  PARING_CHECK(spec.labels != 0, "a model with a classification head");
  const EncoderTables& tables = model.encoder_tables();
  std::vector<float> hidden;
  if (spec.has_head_dense) {
    hidden.resize(rows * model.spec().width);
    multiply(tables.head_dense, tables.head_dense_bias, states, rows, hidden.data());
    for (float& value : hidden) {
      value = spec.head_activation == HeadActivation::kTanh ? std::tanh(value)
              : value < 0                                   ? 0
                                                            : value;
    }
    states = hidden.data();
  }
  multiply(tables.head_out, tables.head_out_bias, states, rows, outputs);
}

}  // namespace paring::model
