// SPDX-License-Identifier: Apache-2.0
// The new queries and keys of a step: normed where the model norms heads, rotated, and keys and
// values written to the cache. Private to forward.cc; workers call rotate_and_write() together.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "base/executor.h"
#include "model/detail/attention_step.h"
#include "model/detail/forward_buffers.h"
#include "model/forward.h"
#include "model/rope.h"
#include "model/weights.h"

namespace paring::model {

class CacheStep {
 public:
  // All must outlive the step. `tokens` are those of `segments` in their order; `ropes` as
  // BlockSpec::ropes, extended to all positions before the first call.
  CacheStep(const ModelView& view, std::span<const Segment> segments,
            std::span<const StepToken> tokens, const ForwardBuffers& buffers,
            const std::vector<RopeTable>& ropes);

  // This worker's share of the layer: queries and keys in buffers.qkv change in place.
  void rotate_and_write(const Worker& worker, std::size_t layer) const;

 private:
  void rotate_and_write(std::size_t token, std::size_t kv_head, std::size_t layer) const;
  void norm_head(const std::vector<float>& weight, float* head) const;

  const ModelView& view_;
  const BlockSpec& spec_;
  std::span<const Segment> segments_;
  std::span<const StepToken> tokens_;
  const ForwardBuffers& buffers_;
  const std::vector<RopeTable>& ropes_;
  const kernels::KernelTable& kernels_;
};

}  // namespace paring::model
