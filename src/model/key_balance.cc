// SPDX-License-Identifier: Apache-2.0
#include "model/key_balance.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "model/weights.h"

namespace paring::model {

namespace {

constexpr double kLogMax = 12.0;      // of a factor, either way
constexpr std::size_t kRowsRead = 4;  // of a head, to estimate the size of its products

double square(float value) { return static_cast<double>(value) * static_cast<double>(value); }

// The key matrix of a layer, and the row of its first key channel.
struct KeyRows {
  std::size_t index;
  std::size_t first;
};

KeyRows key_rows(const Model& model, std::size_t layer) {
  const BlockSpec& spec = model.spec();
  if (!spec.has_fused_qkv) return {model.index_of({MatrixKind::kKey, layer}), 0};
  return {model.index_of({MatrixKind::kQkv, layer}), spec.query_width()};
}

// Mean square of the products that make the key head which begins at `row`: inputs are of unit
// variance times the norm's weights.
double product_energy(const Model& model, std::size_t layer, std::size_t index, std::size_t row) {
  const kernels::PackedMatrix& w = model.matrix(index);
  const std::vector<float>& gain = model.norms(layer).attention;
  std::vector<float> values(w.cols);
  double sum = 0;
  for (std::size_t i = 0; i < kRowsRead; ++i) {
    const std::size_t step = model.spec().head_width / kRowsRead;
    kernels::unpack_row_f32(w, row + i * step, values.data());
    for (std::size_t k = 0; k < values.size(); ++k) sum += square(values[k] * gain[k]);
  }
  return sum / static_cast<double>(kRowsRead);
}

// Channels of one head that share an angle get the mean of both.
void join_pairs(const RopeSpec& rope, std::span<double> head) {
  const std::size_t half = rope.width / 2;
  const bool is_adjacent = rope.pairing == RopePairing::kAdjacent;
  for (std::size_t i = 0; i < half; ++i) {
    double& a = head[is_adjacent ? 2 * i : i];
    double& b = head[is_adjacent ? 2 * i + 1 : i + half];
    a = b = (a + b) / 2;
  }
}

// Energies of one head to log2 of its factors: the channel's size, less the middle of the head.
void take_logs(std::span<double> head) {
  const double largest = *std::max_element(head.begin(), head.end());
  double middle = 0;
  for (double& energy : head) {
    const bool is_usable = largest > 0 && std::isfinite(largest);
    const double least = largest * std::exp2(-2 * kLogMax);
    energy = is_usable ? std::log2(std::max(energy, least)) / 2 : 0.0;
    middle += energy / static_cast<double>(head.size());
  }
  for (double& size : head) size = std::clamp(std::round(size - middle), -kLogMax, kLogMax);
}

}  // namespace

void KeyBalance::apply_to_queries(float* queries, std::size_t kv_head, std::size_t group,
                                  std::size_t head_width) const noexcept {
  if (query.empty()) return;
  const float* factors = query.data() + kv_head * head_width;
  for (std::size_t i = 0; i < group * head_width; ++i) queries[i] *= factors[i % head_width];
}

void KeyBalance::apply_to_key(float* values, std::size_t kv_head,
                              std::size_t head_width) const noexcept {
  if (key.empty()) return;
  const float* factors = key.data() + kv_head * head_width;
  for (std::size_t c = 0; c < head_width; ++c) values[c] *= factors[c];
}

KeyBalance key_balance(const Model& model, std::size_t layer) {
  const BlockSpec& spec = model.spec();
  const auto [index, first] = key_rows(model, layer);
  const std::vector<float>& bias = model.bias(index);
  const std::vector<float>& head_norm = model.norms(layer).key_head;
  KeyBalance balance;
  if (bias.empty() && head_norm.empty()) return balance;
  std::vector<double> head(spec.head_width);
  for (std::size_t row = first; row < first + spec.kv_width(); row += spec.head_width) {
    std::fill(head.begin(), head.end(), product_energy(model, layer, index, row));
    for (std::size_t c = 0; c < head.size(); ++c) {
      if (!bias.empty()) head[c] += square(bias[row + c]);
      if (!head_norm.empty()) head[c] *= square(head_norm[c]);
    }
    join_pairs(spec.ropes[spec.scope(layer).rope], head);
    take_logs(head);
    for (const double exponent : head) {
      balance.query.push_back(static_cast<float>(std::exp2(exponent)));
      balance.key.push_back(static_cast<float>(std::exp2(-exponent)));
    }
  }
  return balance;
}

}  // namespace paring::model
