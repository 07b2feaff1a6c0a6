// SPDX-License-Identifier: Apache-2.0
// Adapters of one step: tokens that follow each other with the same adapter run together
// (CONTRACTS, Engine). Before a product the workers divide the tokens and make A x of every matrix
// that reads x; after a barrier each adds B A x to the outputs that it has just made. A token's
// result depends on its own row alone. Private to forward.cc.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "base/executor.h"
#include "kernels/ops.h"
#include "model/detail/forward_buffers.h"
#include "model/forward.h"
#include "model/lora.h"

namespace paring::model {

class LoraStep {
 public:
  // All must outlive the step. REQUIRES: no adapter's rank is above that of the buffers.
  LoraStep(const ModelView& view, std::span<const Segment> segments, const ForwardBuffers& buffers);

  bool empty() const noexcept { return runs_.empty(); }
  // This worker's share of A x for matrices `ids`, at most kLoraReaders, that read x [T, width]. A
  // barrier must follow before add().
  void shrink(const Worker& worker, std::span<const MatrixId> ids, const float* x,
              std::size_t width) const;
  // target[t * stride + n] += (B A x)[n] for outputs n of `panels` of matrix `id`, the `place`th
  // that shrink() was given.
  void add(std::size_t place, MatrixId id, float* target, std::size_t stride,
           kernels::PanelRange panels) const;

 private:
  // Tokens with one adapter.
  struct Run {
    Range tokens;
    const Lora* adapter;
  };
  const LoraPair* pair_of(const Run& run, MatrixId id) const {
    return run.adapter->find(view_.model().index_of(id));
  }
  float* low(std::size_t place, std::size_t token) const {
    return buffers_.lora_low + (place * tokens_ + token) * buffers_.lora_rank;
  }

  const ModelView& view_;
  const ForwardBuffers& buffers_;
  std::size_t tokens_ = 0;
  std::vector<Run> runs_;
};

}  // namespace paring::model
