// SPDX-License-Identifier: Apache-2.0
// Model: immutable weights in panels, shared by every sequence. ModelView: a model with single
// matrices replaced (sensitivity, candidates, adapters) without copying the rest.
// Both are thread-safe for reading. A view must not outlive its model or its overlays.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "base/executor.h"
#include "base/result.h"
#include "io/model_file.h"
#include "kernels/packed_matrix.h"
#include "model/block_spec.h"

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
};

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
};

struct LayerNorms {
  std::vector<float> attention;  // [D]
  std::vector<float> ffn;        // [D]
};

class Model {
 public:
  // Packs every tensor, panel by panel on `executor`, giving the file's pages back as it goes.
  // Corrupt for missing tensors or wrong shapes (named), Exhausted when memory does not suffice.
  static Result<std::shared_ptr<const Model>> load(const io::ModelFile& file, Executor& executor);
  // From parts, for tests: `matrices` in the order of matrix_slots(spec).
  static Result<std::shared_ptr<const Model>> from_parts(
      BlockSpec spec, std::vector<kernels::PackedMatrix> matrices, std::vector<LayerNorms> norms,
      std::vector<float> final_norm);

  const BlockSpec& spec() const noexcept { return spec_; }
  std::size_t matrix_count() const noexcept { return slots_.size(); }
  const MatrixSlot& slot(std::size_t index) const { return slots_[index]; }
  const kernels::PackedMatrix& matrix(std::size_t index) const { return matrices_[index]; }
  const LayerNorms& norms(std::size_t layer) const { return norms_[layer]; }
  const std::vector<float>& final_norm() const noexcept { return final_norm_; }
  // Position of a matrix in slot order. REQUIRES: the model has it.
  std::size_t index_of(MatrixId id) const noexcept;
  std::size_t weight_bytes() const noexcept;

 private:
  BlockSpec spec_;
  std::vector<MatrixSlot> slots_;
  std::vector<kernels::PackedMatrix> matrices_;
  std::vector<LayerNorms> norms_;
  std::vector<float> final_norm_;
};

// Every matrix of an architecture: embedding, layer by layer q k v o gate up down, head if not
// tied.
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
  // The output matrix: the embedding when tied.
  const kernels::PackedMatrix& head() const;
  // Bytes of weights that one decoded token reads: every matrix once; of an untied embedding a row.
  std::size_t bytes_per_token() const noexcept;

 private:
  const Model* model_;
  std::vector<const kernels::PackedMatrix*> overlay_;
};

}  // namespace paring::model
