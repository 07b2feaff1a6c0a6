// SPDX-License-Identifier: Apache-2.0
#include "model/encoder_weights.h"

#include <fmt/format.h>

#include <cmath>
#include <utility>

#include "model/vectors.h"
#include "quant/format.h"

namespace paring::model {

namespace {

constexpr const char* kPositionsName = "position_embd.weight";
constexpr const char* kTokenTypesName = "token_types.weight";
constexpr const char* kEmbeddingNormName = "token_embd_norm";
constexpr const char* kHeadDenseName = "cls";
constexpr const char* kHeadOutName = "cls.output";

std::string layer_norm_name(std::size_t layer, const char* which) {
  return fmt::format("blk.{}.{}", layer, which);
}
constexpr const char* kAttentionNorm = "attn_output_norm";
constexpr const char* kFfnNorm = "layer_output_norm";

Result<const io::TensorInfo*> find_shaped(const io::ModelFile& file, const EncoderTensor& wanted) {
  const io::TensorInfo* info = file.find(wanted.name);
  if (info == nullptr) {
    return corrupt(fmt::format("{}: tensor '{}' is missing", file.path(), wanted.name),
                   "the file is incomplete or of another architecture");
  }
  if (info->shape != wanted.shape) {
    return corrupt(fmt::format(
        "{}: tensor '{}' has {} rows of {} values, the hyper-parameters ask for {} of {}",
        file.path(), wanted.name, info->rows(), info->columns(),
        wanted.shape.size() == 2 ? wanted.shape[1] : 1, wanted.shape[0]));
  }
  return info;
}

// A table of rows that are looked up, decoded to f32.
Result<std::vector<float>> load_table(const io::ModelFile& file, const char* name, std::size_t rows,
                                      std::size_t width) {
  PARING_TRY(const io::TensorInfo* info, find_shaped(file, {name, {width, rows}}));
  return load_values(file, *info);
}

Result<LayerNormWeights> load_norm(const io::ModelFile& file, const std::string& name,
                                   std::size_t width) {
  LayerNormWeights norm;
  PARING_TRY(norm.weight, load_vector(file, name + ".weight", width));
  PARING_TRY(norm.bias, load_vector(file, name + ".bias", width));
  return norm;
}

Result<kernels::PackedMatrix> load_head_matrix(const io::ModelFile& file, const std::string& name,
                                               std::size_t rows, std::size_t cols) {
  PARING_TRY(const io::TensorInfo* info, find_shaped(file, {name + ".weight", {cols, rows}}));
  const io::TensorBytes bytes = file.data(*info);
  auto packed = kernels::pack(info->type, bytes.data(), rows, cols);
  if (packed) return packed;
  return std::move(packed.error())
      .with_context(fmt::format("{}: tensor '{}'", file.path(), info->name));
}

std::size_t floats(const LayerNormWeights& norm) { return norm.weight.size() + norm.bias.size(); }

}  // namespace

std::size_t EncoderTables::bytes() const noexcept {
  std::size_t count = positions.size() + token_types.size() + floats(embedding_norm) +
                      head_dense_bias.size() + head_out_bias.size();
  for (const EncoderLayerNorms& layer : norms) count += floats(layer.attention) + floats(layer.ffn);
  return count * sizeof(float) + head_dense.bytes() + head_out.bytes();
}

std::vector<EncoderTensor> encoder_tensors(const BlockSpec& spec) {
  const EncoderSpec& encoder = *spec.encoder;
  const std::uint64_t width = spec.width;
  std::vector<EncoderTensor> tensors;
  const auto add_norm = [&](const std::string& name) {
    tensors.push_back({name + ".weight", {width}});
    tensors.push_back({name + ".bias", {width}});
  };
  const auto add_head = [&](const std::string& name, std::uint64_t rows) {
    tensors.push_back({name + ".weight", {width, rows}});
    tensors.push_back({name + ".bias", {rows}});
  };
  tensors.push_back({kPositionsName, {width, spec.context_max}});
  if (encoder.token_types != 0) tensors.push_back({kTokenTypesName, {width, encoder.token_types}});
  add_norm(kEmbeddingNormName);
  for (std::size_t layer = 0; layer < spec.layers; ++layer) {
    add_norm(layer_norm_name(layer, kAttentionNorm));
    add_norm(layer_norm_name(layer, kFfnNorm));
  }
  if (encoder.has_head_dense) add_head(kHeadDenseName, width);
  if (encoder.labels != 0) add_head(kHeadOutName, encoder.labels);
  return tensors;
}

Result<void> read_encoder_tensors(const io::ModelFile& file, BlockSpec& spec) {
  EncoderSpec& encoder = *spec.encoder;
  const auto rows_of = [&](const char* name, std::uint64_t limit) -> Result<std::size_t> {
    const io::TensorInfo* info = file.find(name);
    if (info == nullptr) return std::size_t{0};
    if (info->shape.size() != 2 || info->rows() > limit) {
      return corrupt(fmt::format("{}: tensor '{}' must be a matrix of at most {} rows, it has {}",
                                 file.path(), name, limit, info->rows()));
    }
    return static_cast<std::size_t>(info->rows());
  };
  PARING_TRY(encoder.token_types, rows_of(kTokenTypesName, kTokenTypesMax));
  PARING_TRY(encoder.labels, rows_of("cls.output.weight", kLabelsMax));
  // One label of one is no choice.
  if (encoder.labels == 1 && encoder.label_kind == LabelKind::kOneOf) {
    encoder.label_kind = LabelKind::kValue;
  }
  encoder.has_head_dense = encoder.labels != 0 && file.find("cls.weight") != nullptr;
  if (!encoder.label_names.empty() && encoder.label_names.size() != encoder.labels) {
    return corrupt(fmt::format("{}: {} labels are named, tensor 'cls.output.weight' has {} rows",
                               file.path(), encoder.label_names.size(), encoder.labels));
  }
  return {};
}

Result<EncoderTables> load_encoder_tables(const io::ModelFile& file, const BlockSpec& spec) {
  const EncoderSpec& encoder = *spec.encoder;
  for (const EncoderTensor& tensor : encoder_tensors(spec)) {
    PARING_TRY([[maybe_unused]] const io::TensorInfo* found, find_shaped(file, tensor));
  }
  EncoderTables tables;
  PARING_TRY(tables.positions, load_table(file, kPositionsName, spec.context_max, spec.width));
  if (encoder.token_types != 0) {
    PARING_TRY(tables.token_types,
               load_table(file, kTokenTypesName, encoder.token_types, spec.width));
  }
  PARING_TRY(tables.embedding_norm, load_norm(file, kEmbeddingNormName, spec.width));
  for (std::size_t layer = 0; layer < spec.layers; ++layer) {
    EncoderLayerNorms norms;
    PARING_TRY(norms.attention,
               load_norm(file, layer_norm_name(layer, kAttentionNorm), spec.width));
    PARING_TRY(norms.ffn, load_norm(file, layer_norm_name(layer, kFfnNorm), spec.width));
    tables.norms.push_back(std::move(norms));
  }
  if (encoder.has_head_dense) {
    PARING_TRY(tables.head_dense, load_head_matrix(file, kHeadDenseName, spec.width, spec.width));
    PARING_TRY(tables.head_dense_bias, load_vector(file, "cls.bias", spec.width));
  }
  if (encoder.labels != 0) {
    PARING_TRY(tables.head_out, load_head_matrix(file, kHeadOutName, encoder.labels, spec.width));
    PARING_TRY(tables.head_out_bias, load_vector(file, "cls.output.bias", encoder.labels));
  }
  return tables;
}

}  // namespace paring::model
