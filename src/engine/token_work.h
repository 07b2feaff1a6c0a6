// SPDX-License-Identifier: Apache-2.0
// What a token needs of the machine, from types and shapes alone: the one formula behind the limits
// that `bench` prints, those that `inspect` predicts and what the meter counts. Pure functions.
#pragma once

#include <cstddef>
#include <vector>

#include "cost/roofline.h"
#include "io/model_file.h"
#include "kernels/ops.h"
#include "model/block_spec.h"
#include "model/forward.h"
#include "model/weights.h"

namespace paring::engine {

// Multiply-adds times two that one token takes.
struct TokenOperations {
  double matrices = 0;   // every matrix but the head
  double head = 0;       // only for tokens whose logits are wanted
  double attention = 0;  // scores and weighted values over the positions it sees
};
// The mean over tokens that stand at these positions.
TokenOperations token_operations(const model::BlockSpec& spec,
                                 const model::PositionRange& range) noexcept;

// One matrix as a step uses it.
struct MatrixLoad {
  DType type = DType::kF32;
  double values = 0;
  double bytes = 0;            // that a step reads of it
  bool is_head = false;        // multiplied only for tokens whose logits are wanted
  bool is_gathered = false;    // an untied embedding: rows are looked up, nothing is multiplied
  bool is_of_experts = false;  // a token multiplies only those that it uses
};

// By slot, of a loaded model, and of one of which only the header is known. A tensor that the
// architecture needs and the file lacks counts nothing.
std::vector<MatrixLoad> matrix_loads(const model::ModelView& view);
std::vector<MatrixLoad> matrix_loads(const io::ModelFile& file, const model::BlockSpec& spec);

struct WorkShape {
  model::Numerics numerics = model::Numerics::kServed;
  kernels::KvType kv_type = kernels::KvType::kQ8;
  model::PositionRange range;  // where the tokens stand
  double head_share = 1;       // share of the tokens whose logits are computed
  double step_tokens = 1;      // of a step: they share its weights, and use ever more experts
};

// Of the average token.
cost::TokenWork token_work(const std::vector<MatrixLoad>& loads, const model::BlockSpec& spec,
                           const WorkShape& shape);

}  // namespace paring::engine
