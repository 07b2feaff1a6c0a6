// SPDX-License-Identifier: Apache-2.0
// The mixture of experts of one step: who uses which expert, and the products. The rows of a step
// are sorted by expert, so that each expert's weights are read once for all of its rows; the work
// is shared out by panels, of which those of an expert with more rows weigh more. A token's outputs
// are added in the order of its experts' numbers. So results are the same bits whatever else the
// step holds and however many workers there are. Private to forward.cc; workers go through score(),
// choose(), sort(), multiply_in(), multiply_out() and add() together, with a barrier where the
// comments say.
#pragma once

#include <cstddef>
#include <span>

#include "base/executor.h"
#include "kernels/ops.h"
#include "model/detail/forward_buffers.h"
#include "model/forward.h"
#include "model/taps.h"
#include "model/weights.h"

namespace paring::model {

class ExpertStep {
 public:
  // All must outlive the step. With `has_own_choice` every worker chooses for all tokens, of which
  // there are kOwnRowsMax at most. Without experts in the spec nothing may be called.
  ExpertStep(const ModelView& view, const ForwardBuffers& buffers, std::size_t tokens,
             Numerics numerics, bool has_own_choice);

  // Whether gate or up of the layer multiply codes.
  bool uses_codes(std::size_t layer) const;
  // Scores of `tokens` by the router's `panels`, from normed rows [T, D], in f32.
  void score(std::size_t layer, const float* normed, Range tokens,
             kernels::PanelRange panels) const;
  // After all scores of `tokens` are there.
  void choose(const Worker& worker, Range tokens) const;
  // After all choices are there: the order by experts.
  void sort(const Worker& worker) const;
  // What a tap sees of `data`, the rows of `site`.
  ExpertRows rows(const Worker& worker, TapSite site, const float* data, std::size_t width) const;
  // activation(gate) * up of every token and expert, from `rows`.
  void multiply_in(const Worker& worker, std::size_t layer, const RowBuffers& rows) const;
  // After a barrier.
  void multiply_out(const Worker& worker, std::size_t layer) const;
  // After a barrier: x [T, D] += the weighted outputs, of `tokens`.
  void add(const Worker& worker, Range tokens, float* x) const;

 private:
  Product product(const kernels::PackedMatrix& matrix, std::size_t rows) const;
  const ExpertWorkerBuffers& own(const Worker& worker) const {
    return buffers_.experts.own[worker.index()];
  }
  const ExpertChoice& choice(const Worker& worker) const {
    return has_own_choice_ ? own(worker).choice : buffers_.experts.choice;
  }
  // visit(expert, rows in the order by experts, panels of the expert) for this worker's share of
  // all experts' panels, `panels` each; rows are kExpertRowsMax at most.
  template <typename Visit>
  void visit_share(const Worker& worker, std::size_t panels, const Visit& visit) const;
  void multiply_in(const ExpertWorkerBuffers& mine, std::size_t layer, const RowBuffers& source,
                   std::size_t expert, Range rows, kernels::PanelRange panels) const;
  void multiply_out(const ExpertWorkerBuffers& mine, std::size_t layer, std::size_t expert,
                    Range rows, kernels::PanelRange panels) const;

  const ModelView& view_;
  const ForwardBuffers& buffers_;
  const BlockSpec& spec_;
  const kernels::KernelTable& kernels_;
  std::size_t tokens_;
  Numerics numerics_;
  bool has_own_choice_;
};

}  // namespace paring::model
