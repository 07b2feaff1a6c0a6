// SPDX-License-Identifier: Apache-2.0
// The weights of an encoder beside its large matrices: norms, tables of positions and token types,
// classification head. They are small, stay in the type of the file and are computed with in f32 in
// all numerics. Plain data; the functions are stateless.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "io/model_file.h"
#include "kernels/packed_matrix.h"
#include "model/block_spec.h"

namespace paring::model {

struct LayerNormWeights {
  std::vector<float> weight;  // [D]
  std::vector<float> bias;    // [D]
};

struct EncoderLayerNorms {
  LayerNormWeights attention;  // behind the attention half and its residual
  LayerNormWeights ffn;        // behind the feed-forward half and its residual
};

struct EncoderTables {
  std::vector<float> positions;    // [context_max, D]
  std::vector<float> token_types;  // [token_types, D]
  LayerNormWeights embedding_norm;
  std::vector<EncoderLayerNorms> norms;  // [layers]
  kernels::PackedMatrix head_dense;      // [D, D], with has_head_dense
  std::vector<float> head_dense_bias;    // [D]
  kernels::PackedMatrix head_out;        // [labels, D], with labels
  std::vector<float> head_out_bias;      // [labels]

  std::size_t bytes() const noexcept;
};

// A tensor that an encoder must have.
struct EncoderTensor {
  std::string name;                  // in GGUF
  std::vector<std::uint64_t> shape;  // columns first, as TensorInfo has it
};

// Every tensor of an encoder but the matrices of matrix_slots() and their biases.
// REQUIRES: spec.encoder.
std::vector<EncoderTensor> encoder_tensors(const BlockSpec& spec);

// Sets what only tensors tell: token types, labels, whether the head has a first matrix. Corrupt
// when the table of positions is not as long as the context, or a head has too many outputs.
// REQUIRES: spec.encoder.
Result<void> read_encoder_tensors(const io::ModelFile& file, BlockSpec& spec);

// Corrupt, naming the tensor, when one is missing, has another shape or holds a value that is not
// finite. REQUIRES: spec.encoder.
Result<EncoderTables> load_encoder_tables(const io::ModelFile& file, const BlockSpec& spec);

// Upper bounds, far above any real model.
inline constexpr std::uint64_t kTokenTypesMax = 256;
inline constexpr std::uint64_t kLabelsMax = std::uint64_t{1} << 16;

}  // namespace paring::model
