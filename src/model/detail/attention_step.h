// SPDX-License-Identifier: Apache-2.0
// Attention of one step: which worker attends what. Items are tiles of tokens of one segment and
// one KV head; when there are fewer of them than keep the workers busy, each is divided into the
// spans that it sees (kernels/ops.h), whose states are joined afterwards. A span of a prefix whose
// pages several sequences share is read once, for all their tokens (as in arXiv:2402.05099 and
// FlashInfer's cascades). The results are the same bits whatever is divided or shared. Private to
// forward.cc; workers call attend() and join() together.
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
  // Tokens of one segment that attend together.
  struct Tile {
    std::size_t token;  // first
    std::size_t count;
    std::size_t shared_spans = 0;  // so many of its first spans are in items of several segments
  };
  struct Item {
    std::size_t row;  // first in rows_
    std::size_t count;
    std::size_t kv_head;
    std::size_t span;
    bool is_shared;  // tokens of several segments
  };
  // Tiles whose tokens see all of a span, which the same pages hold.
  struct Sharing {
    std::size_t span;
    std::vector<std::size_t> tiles;
  };
  bool can_divide() const;
  std::vector<Sharing> find_sharings();
  bool shares_span(const Tile& a, const Tile& b, std::size_t kv_class, std::size_t span) const;
  void divide(const std::vector<Sharing>& sharings);
  void add_shared(const Sharing& sharing);
  void add_items(std::size_t row, std::size_t count, std::size_t span, bool is_shared);
  void attend_item(const Worker& worker, std::size_t layer, const Item& item) const;
  void attend_rows(const Worker& worker, std::size_t layer, const Item& item) const;
  float* part(std::size_t token, std::size_t head, std::size_t span) const {
    return buffers_.parts +
           ((token * spec_.heads + head) * buffers_.spans_max + span) * buffers_.part_stride;
  }

  const BlockSpec& spec_;
  std::span<const Segment> segments_;
  std::span<const StepToken> tokens_;
  const ForwardBuffers& buffers_;
  std::vector<Tile> tiles_;
  std::vector<std::size_t> rows_;  // tokens in their order, then those of shared items
  std::vector<Item> items_;
  bool is_divided_ = false;
};

}  // namespace paring::model
