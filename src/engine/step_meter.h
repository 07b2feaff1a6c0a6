// SPDX-License-Identifier: Apache-2.0
// What each sequence of a step took of it: operations and bytes by the cost model, and the step's
// measured time split by them. All that a step took is given to somebody, so that the parts of all
// requests add up to the whole.
//
// The split. Multiplying by the weights is shared: its time is that of reading them or of the
// arithmetic, whichever is longer, and a sequence has its share of the arithmetic in it, tokens and
// rows of logits. Attention is each sequence's own: its keys and values, at its positions. How the
// two weigh against each other takes a machine's balance of arithmetic and bandwidth (roofline.h);
// kOperationsPerByte stands for it. It moves time between long and short contexts of the same step,
// and nothing else.
//
// Confined to one thread.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "api/request.h"
#include "engine/token_work.h"
#include "kernels/ops.h"
#include "model/block_spec.h"

namespace paring::engine {

class StepMeter {
 public:
  // Of one sequence in a step.
  struct Part {
    std::size_t first = 0;   // position of its first token
    std::size_t tokens = 0;  // computed, guesses included
    std::size_t logits = 0;  // rows of them
  };

  static constexpr double kOperationsPerByte = 32;  // of products with weights
  static constexpr double kAttentionPerByte = 8;    // of attention, in F32

  StepMeter(const std::vector<MatrixLoad>& loads, const model::BlockSpec& spec,
            kernels::KvType kv_type);

  // The work of each part of a step that took `seconds`. Valid until the next call.
  std::span<const api::Work> split(std::span<const Part> parts, double seconds);
  // All of them together, as of the last call.
  const api::Work& total() const noexcept { return total_; }

 private:
  // Layers that see the same number of positions.
  struct Scope {
    std::size_t window = 0;  // 0: all
    double layers = 0;
  };
  double visible(const Part& part) const;
  double weight_bytes(double tokens) const;

  std::vector<Scope> scopes_;
  std::optional<model::ExpertSpec> experts_;
  double shared_bytes_ = 0;        // of weights that every step reads
  double expert_bytes_ = 0;        // of all experts
  double token_operations_ = 0;    // of a token, without head and attention
  double row_operations_ = 0;      // of a row of logits
  double visible_operations_ = 0;  // of attention, for a position seen in one layer
  double visible_bytes_ = 0;       // likewise
  std::vector<api::Work> works_;
  std::vector<double> linear_, own_;  // of split(): a part's arithmetic, its attention's time
  api::Work total_;
};

}  // namespace paring::engine
