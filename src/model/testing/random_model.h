// SPDX-License-Identifier: Apache-2.0
// Small random models for tests. Header only, so that it is built into tests alone.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "base/random.h"
#include "model/weights.h"
#include "quant/format.h"

namespace paring::model::testing {

inline BlockSpec tiny_spec() {
  BlockSpec spec;
  spec.architecture = "llama";
  spec.layers = 2;
  spec.width = 96;
  spec.ffn_width = 160;
  spec.heads = 4;
  spec.kv_heads = 2;
  spec.head_width = 32;
  spec.vocabulary = 83;
  spec.context_max = 256;
  spec.ropes[0].width = 32;
  spec.tied_head = true;
  return spec;
}

// tiny_spec() with a mixture of experts, for rows of any block type.
inline BlockSpec expert_spec() {
  BlockSpec spec = tiny_spec();
  spec.width = 256;
  spec.heads = 8;
  spec.ffn_width = 256;
  spec.experts = ExpertSpec{.count = 7, .used = 3};
  return spec;
}

// Everything that a block can have beside tiny_spec()'s, at once.
inline BlockSpec rich_spec() {
  BlockSpec spec = tiny_spec();
  spec.architecture = "rich";
  spec.layers = 3;
  spec.head_width = 64;
  spec.tied_head = false;
  spec.has_post_norms = true;
  spec.has_head_norms = true;
  spec.has_qkv_biases = true;
  spec.has_fused_qkv = true;
  spec.has_fused_gate = true;
  spec.activation = GateActivation::kGeluTanh;
  spec.embedding_scale = 3.5F;
  spec.query_scale = 0.2F;
  spec.attention_soft_cap = 2.0F;
  spec.logit_soft_cap = 5.0F;
  spec.ropes[0] = {.base = 500.0F,
                   .width = 48,
                   .pairing = RopePairing::kHalves,
                   .scaling = RopeScaling::kYarn,
                   .factor = 4.0F,
                   .magnitude = 1.1F,
                   .beta_fast = 4.0F,
                   .beta_slow = 1.0F,
                   .original_context = 64,
                   .divisors = {},
                   .long_divisors = {}};
  RopeSpec local;
  local.width = 64;
  spec.ropes.push_back(local);
  spec.scopes = {{.window = 17, .rope = 1}, {}, {.window = 40, .rope = 1}};
  return spec;
}

// Normal values of deviation `scale`, by (seed, index).
inline std::vector<float> random_values(std::size_t count, std::uint64_t seed, double scale) {
  RandomStream stream({seed, 0, 0});
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>(stream.normal() * scale);
  return values;
}

struct RandomModel {
  std::shared_ptr<const Model> model;
  std::vector<std::vector<float>> decoded;  // by slot: what the packed weights stand for
  std::vector<std::vector<float>> routers;  // by layer, with experts
};

// `change` may alter norms and biases, which are by slot.
inline RandomModel random_model(
    const BlockSpec& spec, DType type, std::uint64_t seed,
    const std::function<void(ModelVectors&)>& change = [](ModelVectors&) {}) {
  RandomModel result;
  std::vector<kernels::PackedMatrix> matrices;
  const quant::Format& format = *quant::find_format(type);
  for (const MatrixSlot& slot : matrix_slots(spec)) {
    const std::vector<float> values = random_values(slot.rows * slot.cols, ++seed, 0.15);
    const std::size_t row_bytes = dtype_row_bytes(type, slot.cols).value();
    std::vector<std::byte> bytes(slot.rows * row_bytes);
    std::vector<float> decoded(values.size());
    for (std::size_t r = 0; r < slot.rows; ++r) {
      format.encode(values.data() + r * slot.cols, nullptr, bytes.data() + r * row_bytes,
                    slot.cols);
      format.decode(bytes.data() + r * row_bytes, decoded.data() + r * slot.cols, slot.cols);
    }
    matrices.push_back(kernels::pack(type, bytes.data(), slot.rows, slot.cols).value());
    result.decoded.push_back(std::move(decoded));
  }
  const auto norm = [&](std::size_t width) {
    std::vector<float> weights = random_values(width, ++seed, 0.2);
    for (float& weight : weights) weight += 1.0F;
    return weights;
  };
  ModelVectors vectors;
  for (std::size_t layer = 0; layer < spec.layers; ++layer) {
    LayerNorms norms;
    norms.attention = norm(spec.width);
    norms.ffn = norm(spec.width);
    if (spec.has_post_norms) norms.post_attention = norm(spec.width);
    if (spec.has_post_norms) norms.post_ffn = norm(spec.width);
    if (spec.has_head_norms) norms.query_head = norm(spec.head_width);
    if (spec.has_head_norms) norms.key_head = norm(spec.head_width);
    vectors.norms.push_back(std::move(norms));
  }
  vectors.final_norm = norm(spec.width);
  for (std::size_t layer = 0; spec.experts && layer < spec.layers; ++layer) {
    const std::size_t count = spec.experts->count;
    result.routers.push_back(random_values(count * spec.width, ++seed, 0.2));
    const auto bytes = std::as_bytes(std::span(result.routers.back()));
    vectors.routers.push_back(kernels::pack(DType::kF32, bytes.data(), count, spec.width).value());
  }
  for (const MatrixSlot& slot : matrix_slots(spec)) {
    const bool has_bias =
        spec.has_qkv_biases && slot.cols == spec.width && slot.id.kind != MatrixKind::kEmbedding;
    vectors.biases.push_back(has_bias ? random_values(slot.rows, ++seed, 0.3)
                                      : std::vector<float>());
  }
  change(vectors);
  result.model = Model::from_parts(spec, std::move(matrices), std::move(vectors)).value();
  return result;
}

}  // namespace paring::model::testing
