// SPDX-License-Identifier: Apache-2.0
// Attention of one step: which worker attends what. Items are tiles of tokens of one segment and
// one KV head; when there are fewer of them than keep the workers busy, each is divided into the
// spans that it sees (kernels/ops.h), whose states are joined afterwards. The results are the same
// bits either way. Private to forward.cc; workers call attend() and join() together.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/executor.h"
#include "model/detail/forward_buffers.h"
#include "model/forward.h"

namespace paring::model {

struct StepToken {
  std::int32_t id;
  std::size_t position;
  std::size_t segment;
};

class AttentionStep {
 public:
  // All must outlive the step. `tokens` are those of `segments` in their order.
  AttentionStep(const BlockSpec& spec, std::span<const Segment> segments,
                std::span<const StepToken> tokens, const ForwardBuffers& buffers,
                std::size_t threads);

  // This worker's share of the layer: queries from buffers.qkv, outputs to buffers.shared.attended,
  // or when is_divided() to buffers.parts.
  void attend(const Worker& worker, std::size_t layer) const;

  bool is_divided() const noexcept { return is_divided_; }
  // After a barrier: outputs [T, H*d] of `tokens` from the parts. REQUIRES: is_divided().
  void join(Range tokens, std::size_t layer, float* attended) const;

 private:
  static constexpr std::size_t kAllSpans = static_cast<std::size_t>(-1);
  struct Item {
    std::size_t token;  // first
    std::size_t count;
    std::size_t kv_head;
    std::size_t span;
  };
  void divide();
  void attend_item(const Worker& worker, std::size_t layer, const Item& item) const;
  float* part(std::size_t token, std::size_t head, std::size_t span) const {
    return buffers_.parts +
           ((token * spec_.heads + head) * buffers_.spans_max + span) * buffers_.part_stride;
  }

  const BlockSpec& spec_;
  std::span<const Segment> segments_;
  std::span<const StepToken> tokens_;
  const ForwardBuffers& buffers_;
  std::vector<Item> items_;
  bool is_divided_ = false;
};

}  // namespace paring::model
