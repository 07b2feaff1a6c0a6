// SPDX-License-Identifier: Apache-2.0
// Model: immutable weights in panels, shared by every sequence. ModelView: a model with single
// matrices replaced (sensitivity, candidates, adapters) without copying the rest.
// Both are thread-safe for reading. A view must not outlive its model or its overlays.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/aligned.h"
#include "base/executor.h"
#include "base/result.h"
#include "io/model_file.h"
#include "kernels/packed_matrix.h"
#include "model/block_spec.h"
#include "model/encoder_weights.h"
#include "model/key_balance.h"

namespace paring::model {

enum class MatrixKind : std::uint8_t {
  kEmbedding,  // [V, D]; also the head when tied
  kHead,       // [V, D], only when not tied
  kQuery,
  kKey,
  kValue,
  kAttentionOut,
  kGate,
  kUp,
  kDown,
  kQkv,     // [(H + 2 Hkv) d, D], instead of kQuery, kKey and kValue
  kGateUp,  // [2 F, D], gate first, instead of kGate and kUp
  // Of all experts, one below the other, instead of kGate, kUp and kDown.
  kExpertGate,  // [E F, D]
  kExpertUp,    // [E F, D]
  kExpertDown,  // [E D, F]
};
inline constexpr std::size_t kMatrixKinds = 14;

// Which matrix: kind and, for those of a layer, the layer.
struct MatrixId {
  MatrixKind kind;
  std::size_t layer = 0;
  friend bool operator==(const MatrixId&, const MatrixId&) = default;
};

// One weight matrix of a model and where it came from.
struct MatrixSlot {
  MatrixId id;
  std::string name;  // GGUF tensor name
  std::size_t rows;  // outputs
  std::size_t cols;  // inputs
  // Not 0: so many matrices of rows / experts rows each; the tensor has three dimensions.
  std::size_t experts = 0;
};

struct LayerNorms {
  std::vector<float> attention;       // [D]
  std::vector<float> ffn;             // [D]
  std::vector<float> post_attention;  // [D], with has_post_norms
  std::vector<float> post_ffn;        // [D], with has_post_norms
  std::vector<float> query_head;      // [d], with has_head_norms
  std::vector<float> key_head;        // [d], with has_head_norms
};

// Everything of a model but its matrices.
struct ModelVectors {
  std::vector<LayerNorms> norms;           // [layers]
  std::vector<float> final_norm;           // [D]
  std::vector<std::vector<float>> biases;  // by slot: [rows], or empty
  // [layers] of [E, D], with experts. They decide discretely, so that they are never quantized.
  std::vector<kernels::PackedMatrix> routers;
  EncoderTables encoder;  // of an encoder, instead of norms and final_norm
};

class Model {
 public:
  // Packs every tensor, panel by panel on `executor`, giving the file's pages back as it goes.
  // Corrupt for missing tensors or wrong shapes (named), Unsupported for tensors that the
  // architecture does not use, Exhausted when memory does not suffice.
  static Result<std::shared_ptr<const Model>> load(const io::ModelFile& file, Executor& executor);
  // Locks the matrices of a model that was loaded in memory. Exhausted as AlignedBuffer::lock().
  Result<void> lock_matrices() const { return memory_.lock(); }
  // From parts, for tests: `matrices` in the order of matrix_slots(spec).
  static Result<std::shared_ptr<const Model>> from_parts(
      BlockSpec spec, std::vector<kernels::PackedMatrix> matrices, ModelVectors vectors);

  // `like` with other matrices, which lie in `memory`. Unsupported for encoders and mixtures
  // of experts.
  static Result<std::shared_ptr<const Model>> with_matrices(
      const Model& like, AlignedBuffer memory, std::vector<kernels::PackedMatrix> matrices);

  const BlockSpec& spec() const noexcept { return spec_; }
  std::size_t matrix_count() const noexcept { return slots_.size(); }
  const MatrixSlot& slot(std::size_t index) const { return slots_[index]; }
  std::span<const MatrixSlot> slots() const noexcept { return slots_; }
  const kernels::PackedMatrix& matrix(std::size_t index) const { return matrices_[index]; }
  const LayerNorms& norms(std::size_t layer) const { return vectors_.norms[layer]; }
  const std::vector<float>& final_norm() const noexcept { return vectors_.final_norm; }
  // Added to the product with matrix `index`; empty when it has none.
  const std::vector<float>& bias(std::size_t index) const { return vectors_.biases[index]; }
  // REQUIRES: spec().experts.
  const kernels::PackedMatrix& router(std::size_t layer) const { return vectors_.routers[layer]; }
  // REQUIRES: spec().encoder.
  const EncoderTables& encoder_tables() const noexcept { return vectors_.encoder; }
  // For int8 caches.
  const KeyBalance& key_balance(std::size_t layer) const { return key_balances_[layer]; }
  // Position of a matrix in slot order. REQUIRES: the model has it.
  std::size_t index_of(MatrixId id) const noexcept;
  std::size_t weight_bytes() const noexcept;

 private:
  void set_spec(BlockSpec spec);
  void balance_keys();

  BlockSpec spec_;
  std::vector<MatrixSlot> slots_;
  AlignedBuffer memory_;  // of the matrices of a model that was loaded
  std::vector<kernels::PackedMatrix> matrices_;
  ModelVectors vectors_;
  std::vector<KeyBalance> key_balances_;             // [layers]
  std::array<std::size_t, kMatrixKinds> offsets_{};  // of a kind, from the first of its layer
  std::size_t layer_matrices_ = 0;
};

// Every matrix of an architecture: embedding, layer by layer q k v (or qkv) o gate up (or gate-up)
// down, head if not tied; of experts one stacked matrix a kind, without routers. Of an encoder:
// embedding, layer by layer q k v o up down.
std::vector<MatrixSlot> matrix_slots(const BlockSpec& spec);

class ModelView {
 public:
  explicit ModelView(const Model& model) : model_(&model), overlay_(model.matrix_count()) {}

  const Model& model() const noexcept { return *model_; }
  const BlockSpec& spec() const noexcept { return model_->spec(); }
  // Replaces one matrix; null restores the model's own. REQUIRES: same rows and cols.
  void replace(std::size_t index, const kernels::PackedMatrix* matrix);
  const kernels::PackedMatrix& matrix(std::size_t index) const {
    return overlay_[index] != nullptr ? *overlay_[index] : model_->matrix(index);
  }
  const kernels::PackedMatrix& matrix(MatrixId id) const { return matrix(model_->index_of(id)); }
  const std::vector<float>& bias(MatrixId id) const { return model_->bias(model_->index_of(id)); }
  // The output matrix: the embedding when tied.
  const kernels::PackedMatrix& head() const;
  // Empty when the head has none.
  const std::vector<float>& head_bias() const;
  // Bytes of weights that one decoded token reads: every matrix once; of an untied embedding a row;
  // of experts those that it uses.
  std::size_t bytes_per_token() const noexcept;

 private:
  const Model* model_;
  std::vector<const kernels::PackedMatrix*> overlay_;
};

}  // namespace paring::model
