// SPDX-License-Identifier: Apache-2.0
#include "model/weights.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <set>

#include "model/architecture.h"
#include "model/matrix_loader.h"
#include "model/vectors.h"

namespace paring::model {

namespace {

struct LayerMatrix {
  MatrixKind kind;
  const char* suffix;
};

// The matrices of a layer, in slot order.
std::vector<LayerMatrix> layer_matrices(const BlockSpec& spec) {
  std::vector<LayerMatrix> matrices;
  if (spec.has_fused_qkv) {
    matrices.push_back({MatrixKind::kQkv, "attn_qkv"});
  } else {
    matrices.push_back({MatrixKind::kQuery, "attn_q"});
    matrices.push_back({MatrixKind::kKey, "attn_k"});
    matrices.push_back({MatrixKind::kValue, "attn_v"});
  }
  matrices.push_back({MatrixKind::kAttentionOut, "attn_output"});
  if (spec.encoder) {
    matrices.push_back({MatrixKind::kUp, "ffn_up"});
  } else if (spec.experts) {
    matrices.push_back({MatrixKind::kExpertGate, "ffn_gate_exps"});
    matrices.push_back({MatrixKind::kExpertUp, "ffn_up_exps"});
    matrices.push_back({MatrixKind::kExpertDown, "ffn_down_exps"});
    return matrices;
  } else if (spec.has_fused_gate) {
    matrices.push_back({MatrixKind::kGateUp, "ffn_up"});
  } else {
    matrices.push_back({MatrixKind::kGate, "ffn_gate"});
    matrices.push_back({MatrixKind::kUp, "ffn_up"});
  }
  matrices.push_back({MatrixKind::kDown, "ffn_down"});
  return matrices;
}

bool is_of_experts(MatrixKind kind) {
  return kind == MatrixKind::kExpertGate || kind == MatrixKind::kExpertUp ||
         kind == MatrixKind::kExpertDown;
}

struct Shape {
  std::size_t rows;
  std::size_t cols;
};

// Of one expert where there are several.
Shape shape_of(const BlockSpec& spec, MatrixKind kind) {
  switch (kind) {
    case MatrixKind::kEmbedding:
    case MatrixKind::kHead:
      return {spec.vocabulary, spec.width};
    case MatrixKind::kQuery:
      return {spec.query_width(), spec.width};
    case MatrixKind::kKey:
    case MatrixKind::kValue:
      return {spec.kv_width(), spec.width};
    case MatrixKind::kAttentionOut:
      return {spec.width, spec.query_width()};
    case MatrixKind::kGate:
    case MatrixKind::kUp:
    case MatrixKind::kExpertGate:
    case MatrixKind::kExpertUp:
      return {spec.ffn_width, spec.width};
    case MatrixKind::kDown:
    case MatrixKind::kExpertDown:
      return {spec.width, spec.ffn_width};
    case MatrixKind::kQkv:
      return {spec.qkv_width(), spec.width};
    case MatrixKind::kGateUp:
      return {2 * spec.ffn_width, spec.width};
  }
  return {0, 0};
}

}  // namespace

std::vector<MatrixSlot> matrix_slots(const BlockSpec& spec) {
  std::vector<MatrixSlot> slots;
  const auto add = [&](MatrixId id, std::string name) {
    const Shape shape = shape_of(spec, id.kind);
    const std::size_t experts = is_of_experts(id.kind) ? spec.experts->count : 0;
    slots.push_back(
        {id, std::move(name), shape.rows * std::max<std::size_t>(experts, 1), shape.cols, experts});
  };
  const std::vector<LayerMatrix> matrices = layer_matrices(spec);
  add({MatrixKind::kEmbedding, 0}, "token_embd.weight");
  for (std::size_t layer = 0; layer < spec.layers; ++layer) {
    for (const LayerMatrix& matrix : matrices) {
      add({matrix.kind, layer}, fmt::format("blk.{}.{}.weight", layer, matrix.suffix));
    }
  }
  if (!spec.tied_head && !spec.encoder) add({MatrixKind::kHead, 0}, "output.weight");
  return slots;
}

namespace {

Result<LayerNorms> load_norms(const io::ModelFile& file, const BlockSpec& spec, std::size_t layer) {
  const auto load = [&](const char* name, std::size_t width) {
    return load_vector(file, fmt::format("blk.{}.{}.weight", layer, name), width);
  };
  LayerNorms norms;
  PARING_TRY(norms.attention, load("attn_norm", spec.width));
  PARING_TRY(norms.ffn, load("ffn_norm", spec.width));
  if (spec.has_post_norms) {
    PARING_TRY(norms.post_attention, load("post_attention_norm", spec.width));
    PARING_TRY(norms.post_ffn, load("post_ffw_norm", spec.width));
  }
  if (spec.has_head_norms) {
    PARING_TRY(norms.query_head, load("attn_q_norm", spec.head_width));
    PARING_TRY(norms.key_head, load("attn_k_norm", spec.head_width));
  }
  return norms;
}

// Read as matrices are, but no slots: nothing quantizes or replaces them.
std::vector<MatrixSlot> router_slots(const BlockSpec& spec) {
  std::vector<MatrixSlot> slots;
  for (std::size_t layer = 0; spec.experts && layer < spec.layers; ++layer) {
    slots.push_back(
        {{}, fmt::format("blk.{}.ffn_gate_inp.weight", layer), spec.experts->count, spec.width});
  }
  return slots;
}

Result<void> load_decoder_norms(const io::ModelFile& file, const BlockSpec& spec,
                                ModelVectors& vectors) {
  for (std::size_t layer = 0; layer < spec.layers; ++layer) {
    PARING_TRY(LayerNorms norms, load_norms(file, spec, layer));
    vectors.norms.push_back(std::move(norms));
  }
  PARING_TRY(vectors.final_norm, load_vector(file, "output_norm.weight", spec.width));
  return {};
}

std::string bias_name(const MatrixSlot& slot) {
  return slot.name.substr(0, slot.name.rfind('.')) + ".bias";
}

bool needs_bias(const BlockSpec& spec, MatrixKind kind) {
  if (spec.encoder) return true;
  return spec.has_qkv_biases && (kind == MatrixKind::kQuery || kind == MatrixKind::kKey ||
                                 kind == MatrixKind::kValue || kind == MatrixKind::kQkv);
}

Result<ModelVectors> load_vectors(const io::ModelFile& file, const BlockSpec& spec,
                                  const std::vector<MatrixSlot>& slots) {
  ModelVectors vectors;
  if (spec.encoder) {
    PARING_TRY(vectors.encoder, load_encoder_tables(file, spec));
  } else {
    PARING_TRY_VOID(load_decoder_norms(file, spec, vectors));
  }
  vectors.biases.resize(slots.size());
  for (std::size_t i = 1; i < slots.size(); ++i) {  // an embedding has none
    if (slots[i].experts != 0) continue;            // none is computed: check_all_used() refuses it
    const std::string name = bias_name(slots[i]);
    if (file.find(name) == nullptr && !needs_bias(spec, slots[i].id.kind)) continue;
    PARING_TRY(vectors.biases[i], load_vector(file, name, slots[i].rows));
  }
  return vectors;
}

// The names of all vectors of a decoder but biases.
std::set<std::string> decoder_vector_names(const BlockSpec& spec) {
  std::set<std::string> used = {"output_norm.weight", kRopeFreqsName, kRopeLongName,
                                kRopeShortName};
  for (std::size_t layer = 0; layer < spec.layers; ++layer) {
    const auto add = [&](const char* name) {
      used.insert(fmt::format("blk.{}.{}.weight", layer, name));
    };
    add("attn_norm");
    add("ffn_norm");
    if (spec.has_post_norms) add("post_attention_norm");
    if (spec.has_post_norms) add("post_ffw_norm");
    if (spec.has_head_norms) add("attn_q_norm");
    if (spec.has_head_norms) add("attn_k_norm");
  }
  for (const MatrixSlot& router : router_slots(spec)) used.insert(router.name);
  return used;
}

std::set<std::string> encoder_vector_names(const BlockSpec& spec) {
  std::set<std::string> used;
  for (const EncoderTensor& tensor : encoder_tensors(spec)) used.insert(tensor.name);
  return used;
}

// A tensor that nothing reads would change what the file means: better no answer than another
// model's.
Result<void> check_all_used(const io::ModelFile& file, const BlockSpec& spec,
                            const std::vector<MatrixSlot>& slots, const ModelVectors& vectors) {
  std::set<std::string> used =
      spec.encoder ? encoder_vector_names(spec) : decoder_vector_names(spec);
  for (std::size_t i = 0; i < slots.size(); ++i) {
    used.insert(slots[i].name);
    if (!vectors.biases[i].empty()) used.insert(bias_name(slots[i]));
  }
  for (const io::TensorInfo& tensor : file.tensors()) {
    if (used.contains(tensor.name)) continue;
    return unsupported(
        fmt::format("{}: tensor '{}' has no place in a model of architecture '{}' with {} layers",
                    file.path(), tensor.name, spec.architecture, spec.layers),
        "the file holds more than this program computes for that architecture");
  }
  return {};
}

}  // namespace

Result<std::shared_ptr<const Model>> Model::load(const io::ModelFile& file, Executor& executor) {
  auto model = std::make_shared<Model>();
  PARING_TRY(BlockSpec spec, read_block_spec(file));
  model->set_spec(std::move(spec));
  PARING_TRY(model->vectors_, load_vectors(file, model->spec_, model->slots_));
  PARING_TRY_VOID(check_all_used(file, model->spec_, model->slots_, model->vectors_));
  std::vector<MatrixSlot> slots = model->slots_;
  for (MatrixSlot& router : router_slots(model->spec_)) slots.push_back(std::move(router));
  PARING_TRY(LoadedMatrices loaded, load_matrices(file, slots, executor));
  const auto routers = loaded.matrices.begin() + static_cast<std::ptrdiff_t>(model->slots_.size());
  std::move(routers, loaded.matrices.end(), std::back_inserter(model->vectors_.routers));
  loaded.matrices.erase(routers, loaded.matrices.end());
  model->memory_ = std::move(loaded.memory);
  model->matrices_ = std::move(loaded.matrices);
  model->balance_keys();
  return std::shared_ptr<const Model>(std::move(model));
}

Result<std::shared_ptr<const Model>> Model::with_matrices(
    const Model& like, AlignedBuffer memory, std::vector<kernels::PackedMatrix> matrices) {
  if (like.spec_.experts || like.spec_.encoder) {
    return unsupported("encoders and mixtures of experts get other matrices from their files only",
                       "paring quantize makes one with other weights");
  }
  PARING_TRY(std::shared_ptr<const Model> made, from_parts(like.spec_, std::move(matrices),
                                                           {.norms = like.vectors_.norms,
                                                            .final_norm = like.vectors_.final_norm,
                                                            .biases = like.vectors_.biases,
                                                            .routers = {},
                                                            .encoder = {}}));
  std::const_pointer_cast<Model>(made)->memory_ = std::move(memory);
  return made;
}

Result<std::shared_ptr<const Model>> Model::from_parts(BlockSpec spec,
                                                       std::vector<kernels::PackedMatrix> matrices,
                                                       ModelVectors vectors) {
  auto model = std::make_shared<Model>();
  model->set_spec(std::move(spec));
  vectors.biases.resize(model->slots_.size());
  const std::size_t norms =
      model->spec_.encoder ? vectors.encoder.norms.size() : vectors.norms.size();
  const std::size_t routers = model->spec_.experts ? model->spec_.layers : 0;
  if (matrices.size() != model->slots_.size() || norms != model->spec_.layers ||
      vectors.routers.size() != routers) {
    return invalid_argument("the parts do not match the architecture");
  }
  for (std::size_t i = 0; i < matrices.size(); ++i) {
    if (matrices[i].rows != model->slots_[i].rows || matrices[i].cols != model->slots_[i].cols) {
      return invalid_argument("matrix " + model->slots_[i].name + " has the wrong shape");
    }
  }
  model->matrices_ = std::move(matrices);
  model->vectors_ = std::move(vectors);
  model->balance_keys();
  return std::shared_ptr<const Model>(std::move(model));
}

void Model::set_spec(BlockSpec spec) {
  slots_ = matrix_slots(spec);
  const std::vector<LayerMatrix> matrices = layer_matrices(spec);
  layer_matrices_ = matrices.size();
  for (std::size_t i = 0; i < matrices.size(); ++i) {
    offsets_[static_cast<std::size_t>(matrices[i].kind)] = i;
  }
  spec_ = std::move(spec);
}

void Model::balance_keys() {
  if (spec_.encoder) return;  // it keeps no cache
  for (std::size_t layer = 0; layer < spec_.layers; ++layer) {
    key_balances_.push_back(model::key_balance(*this, layer));
  }
}

std::size_t Model::index_of(MatrixId id) const noexcept {
  if (id.kind == MatrixKind::kEmbedding) return 0;
  if (id.kind == MatrixKind::kHead) return slots_.size() - 1;
  return 1 + id.layer * layer_matrices_ + offsets_[static_cast<std::size_t>(id.kind)];
}

std::size_t Model::weight_bytes() const noexcept {
  std::size_t bytes = 0;
  for (const kernels::PackedMatrix& matrix : matrices_) bytes += matrix.bytes();
  for (const kernels::PackedMatrix& router : vectors_.routers) bytes += router.bytes();
  std::size_t floats = vectors_.final_norm.size();
  for (const LayerNorms& norms : vectors_.norms) {
    floats += norms.attention.size() + norms.ffn.size() + norms.post_attention.size() +
              norms.post_ffn.size() + norms.query_head.size() + norms.key_head.size();
  }
  for (const std::vector<float>& bias : vectors_.biases) floats += bias.size();
  for (const KeyBalance& each : key_balances_) floats += each.query.size() + each.key.size();
  return bytes + floats * sizeof(float) + vectors_.encoder.bytes();
}

void ModelView::replace(std::size_t index, const kernels::PackedMatrix* matrix) {
  PARING_CHECK(index < overlay_.size(), "no such matrix");
  PARING_CHECK(matrix == nullptr || (matrix->rows == model_->slot(index).rows &&
                                     matrix->cols == model_->slot(index).cols),
               "an overlay must have the shape of what it replaces");
  overlay_[index] = matrix;
}

const kernels::PackedMatrix& ModelView::head() const {
  return matrix({spec().tied_head ? MatrixKind::kEmbedding : MatrixKind::kHead, 0});
}

const std::vector<float>& ModelView::head_bias() const {
  return bias({spec().tied_head ? MatrixKind::kEmbedding : MatrixKind::kHead, 0});
}

std::size_t ModelView::bytes_per_token() const noexcept {
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < overlay_.size(); ++i) {
    const kernels::PackedMatrix& m = matrix(i);
    const bool is_gathered = i == 0 && !spec().tied_head;
    const std::size_t experts = model_->slot(i).experts;
    const std::size_t read = experts == 0 ? m.bytes() : m.bytes() / experts * spec().experts->used;
    bytes += is_gathered ? m.bytes() / m.padded_rows : read;
  }
  for (std::size_t layer = 0; spec().experts && layer < spec().layers; ++layer) {
    bytes += model_->router(layer).bytes();
  }
  return bytes;
}

}  // namespace paring::model
