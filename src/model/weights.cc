// SPDX-License-Identifier: Apache-2.0
#include "model/weights.h"

#include <fmt/format.h>

#include <atomic>
#include <cmath>
#include <new>
#include <optional>

#include "model/architecture.h"
#include "quant/format.h"

namespace paring::model {

namespace {

constexpr std::size_t kMatricesPerLayer = 7;

struct LayerMatrix {
  MatrixKind kind;
  const char* suffix;
};
constexpr LayerMatrix kLayerMatrices[kMatricesPerLayer] = {
    {MatrixKind::kQuery, "attn_q"},  {MatrixKind::kKey, "attn_k"},
    {MatrixKind::kValue, "attn_v"},  {MatrixKind::kAttentionOut, "attn_output"},
    {MatrixKind::kGate, "ffn_gate"}, {MatrixKind::kUp, "ffn_up"},
    {MatrixKind::kDown, "ffn_down"},
};

struct Shape {
  std::size_t rows;
  std::size_t cols;
};

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
      return {spec.ffn_width, spec.width};
    case MatrixKind::kDown:
      return {spec.width, spec.ffn_width};
  }
  return {0, 0};
}

// A vector tensor (norm weights) as f32.
Result<std::vector<float>> load_vector(const io::ModelFile& file, const std::string& name,
                                       std::size_t width) {
  const io::TensorInfo* info = file.find(name);
  if (info == nullptr) {
    return corrupt(fmt::format("{}: tensor '{}' is missing", file.path(), name),
                   "the file is incomplete or of another architecture");
  }
  if (info->shape.size() != 1 || info->columns() != width) {
    return corrupt(fmt::format("{}: tensor '{}' must have shape [{}]", file.path(), name, width));
  }
  PARING_TRY(const quant::Format* format, quant::require_format(info->type));
  std::vector<float> values(width);
  const io::TensorBytes bytes = file.data(*info);
  format->decode(bytes.data(), values.data(), width);
  for (const float value : values) {
    if (!std::isfinite(value)) {
      return corrupt(
          fmt::format("{}: tensor '{}' holds a value that is not finite", file.path(), name));
    }
  }
  return values;
}

Result<kernels::PackedMatrix> load_matrix(const io::ModelFile& file, const MatrixSlot& slot) {
  const io::TensorInfo* info = file.find(slot.name);
  if (info == nullptr) {
    return corrupt(fmt::format("{}: tensor '{}' is missing", file.path(), slot.name),
                   "the file is incomplete or of another architecture");
  }
  if (info->shape.size() != 2 || info->columns() != slot.cols || info->rows() != slot.rows) {
    return corrupt(fmt::format(
        "{}: tensor '{}' has {} rows of {} values, the hyper-parameters ask for {} of {}",
        file.path(), slot.name, info->rows(), info->columns(), slot.rows, slot.cols));
  }
  const io::TensorBytes bytes = file.data(*info);
  auto packed = kernels::pack(info->type, bytes.data(), slot.rows, slot.cols);
  if (!packed) {
    return std::move(packed.error())
        .with_context(fmt::format("{}: tensor '{}'", file.path(), slot.name));
  }
  file.release(*info);
  return packed;
}

}  // namespace

std::vector<MatrixSlot> matrix_slots(const BlockSpec& spec) {
  std::vector<MatrixSlot> slots;
  const auto add = [&](MatrixId id, std::string name) {
    const Shape shape = shape_of(spec, id.kind);
    slots.push_back({id, std::move(name), shape.rows, shape.cols});
  };
  add({MatrixKind::kEmbedding, 0}, "token_embd.weight");
  for (std::size_t layer = 0; layer < spec.layers; ++layer) {
    for (const LayerMatrix& matrix : kLayerMatrices) {
      add({matrix.kind, layer}, fmt::format("blk.{}.{}.weight", layer, matrix.suffix));
    }
  }
  if (!spec.tied_head) add({MatrixKind::kHead, 0}, "output.weight");
  return slots;
}

Result<std::shared_ptr<const Model>> Model::load(const io::ModelFile& file, Executor& executor) {
  PARING_TRY(BlockSpec spec, read_block_spec(file));
  const io::TensorInfo* embedding = file.find("token_embd.weight");
  if (embedding == nullptr || embedding->shape.size() != 2) {
    return corrupt(
        fmt::format("{}: tensor 'token_embd.weight' is missing or not a matrix", file.path()));
  }
  if (embedding->rows() > kVocabularyMax) {
    return corrupt(fmt::format("{}: a vocabulary of {} is over the limit {}", file.path(),
                               embedding->rows(), kVocabularyMax));
  }
  spec.vocabulary = embedding->rows();
  spec.tied_head = file.find("output.weight") == nullptr;

  auto model = std::make_shared<Model>();
  model->slots_ = matrix_slots(spec);
  model->matrices_.resize(model->slots_.size());
  // Workers take every count-th matrix; the first error by matrix order is reported.
  std::vector<std::optional<Error>> errors(model->slots_.size());
  std::atomic<bool> is_out_of_memory = false;
  executor.run([&](Worker& worker) {
    try {
      for (std::size_t i = worker.index(); i < model->slots_.size(); i += worker.count()) {
        auto packed = load_matrix(file, model->slots_[i]);
        if (packed) {
          model->matrices_[i] = std::move(packed).value();
        } else {
          errors[i] = std::move(packed.error());
        }
      }
    } catch (const std::bad_alloc&) {  // a job must not throw; even a message may not fit any more
      is_out_of_memory = true;
    }
  });
  if (is_out_of_memory) {
    return exhausted(fmt::format("memory ran out while the weights of {} were read", file.path()),
                     "free memory or use a smaller model or context");
  }
  for (auto& error : errors) {
    if (error) return std::move(*error);
  }
  for (std::size_t layer = 0; layer < spec.layers; ++layer) {
    LayerNorms norms;
    PARING_TRY(norms.attention,
               load_vector(file, fmt::format("blk.{}.attn_norm.weight", layer), spec.width));
    PARING_TRY(norms.ffn,
               load_vector(file, fmt::format("blk.{}.ffn_norm.weight", layer), spec.width));
    model->norms_.push_back(std::move(norms));
  }
  PARING_TRY(model->final_norm_, load_vector(file, "output_norm.weight", spec.width));
  model->spec_ = std::move(spec);
  return std::shared_ptr<const Model>(std::move(model));
}

Result<std::shared_ptr<const Model>> Model::from_parts(BlockSpec spec,
                                                       std::vector<kernels::PackedMatrix> matrices,
                                                       std::vector<LayerNorms> norms,
                                                       std::vector<float> final_norm) {
  auto model = std::make_shared<Model>();
  model->slots_ = matrix_slots(spec);
  if (matrices.size() != model->slots_.size() || norms.size() != spec.layers) {
    return invalid_argument("the parts do not match the architecture");
  }
  for (std::size_t i = 0; i < matrices.size(); ++i) {
    if (matrices[i].rows != model->slots_[i].rows || matrices[i].cols != model->slots_[i].cols) {
      return invalid_argument("matrix " + model->slots_[i].name + " has the wrong shape");
    }
  }
  model->matrices_ = std::move(matrices);
  model->norms_ = std::move(norms);
  model->final_norm_ = std::move(final_norm);
  model->spec_ = std::move(spec);
  return std::shared_ptr<const Model>(std::move(model));
}

std::size_t Model::index_of(MatrixId id) const noexcept {
  if (id.kind == MatrixKind::kEmbedding) return 0;
  if (id.kind == MatrixKind::kHead) return slots_.size() - 1;
  const auto offset =
      static_cast<std::size_t>(id.kind) - static_cast<std::size_t>(MatrixKind::kQuery);
  return 1 + id.layer * kMatricesPerLayer + offset;
}

std::size_t Model::weight_bytes() const noexcept {
  std::size_t bytes = 0;
  for (const kernels::PackedMatrix& matrix : matrices_) bytes += matrix.bytes();
  return bytes + (2 * norms_.size() + 1) * spec_.width * sizeof(float);
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

std::size_t ModelView::bytes_per_token() const noexcept {
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < overlay_.size(); ++i) {
    const kernels::PackedMatrix& m = matrix(i);
    const bool is_gathered = i == 0 && !spec().tied_head;
    bytes += is_gathered ? m.bytes() / m.padded_rows : m.bytes();
  }
  return bytes;
}

}  // namespace paring::model
