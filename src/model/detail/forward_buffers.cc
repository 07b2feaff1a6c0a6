// SPDX-License-Identifier: Apache-2.0
#include "model/detail/forward_buffers.h"

#include <algorithm>

#include "model/detail/head_terms.h"
#include "model/forward.h"

namespace paring::model {

namespace {

using kernels::QuantizedRows;

std::size_t round_up(std::size_t value, std::size_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

// Hands out 64-byte aligned pieces of one allocation; with a null base it only counts.
class Arena {
 public:
  explicit Arena(std::byte* base) : base_(base) {}
  template <typename T>
  T* take(std::size_t count) {
    std::byte* piece = base_ == nullptr ? nullptr : base_ + used_;
    used_ = round_up(used_ + count * sizeof(T), 64);
    return reinterpret_cast<T*>(piece);
  }
  std::size_t used() const { return used_; }

 private:
  std::byte* base_;
  std::size_t used_ = 0;
};

QuantizedRows take_quantized(Arena& arena, std::size_t tokens, std::size_t cols) {
  std::byte* memory = arena.take<std::byte>(QuantizedRows::bytes(tokens, cols));
  return memory == nullptr ? QuantizedRows{} : QuantizedRows::place(memory, tokens, cols);
}

RowBuffers take_rows(Arena& arena, const BlockSpec& spec, std::size_t tokens,
                     std::size_t logit_rows) {
  RowBuffers rows{};
  rows.x = arena.take<float>(tokens * spec.width);
  rows.normed = arena.take<float>(std::max(tokens, logit_rows) * spec.width);
  rows.attended = arena.take<float>(tokens * spec.query_width());
  rows.head_in = arena.take<float>(logit_rows * spec.width);
  rows.narrow =
      take_quantized(arena, std::max(tokens, detail::kHeadTerms * logit_rows), spec.width);
  rows.heads = take_quantized(arena, tokens, spec.query_width());
  rows.wide = take_quantized(arena, tokens, spec.ffn_width);
  return rows;
}

}  // namespace

std::size_t ForwardBuffers::lay_out(const BlockSpec& spec, const ForwardShape& shape,
                                    std::size_t threads, std::byte* base) {
  Arena arena(base);
  const std::size_t tokens = shape.tokens_max;
  const std::size_t rows = std::min(tokens, kLogitRowsMax);
  shared = take_rows(arena, spec, tokens, rows);
  const std::size_t few = std::min(tokens, kOwnRowsMax);
  own.clear();
  for (std::size_t i = 0; threads > 1 && i < threads; ++i) {
    own.push_back(take_rows(arena, spec, few, few));
  }
  qkv = arena.take<float>(tokens * spec.qkv_width());
  gate_stride = spec.has_fused_gate ? 2 * spec.ffn_width : spec.ffn_width;
  gate = arena.take<float>(tokens * gate_stride);
  up = spec.has_fused_gate ? gate : arena.take<float>(tokens * gate_stride);
  if (spec.has_fused_gate && base != nullptr) up += spec.ffn_width;
  product = arena.take<float>(tokens * spec.ffn_width);
  delta = arena.take<float>(tokens * spec.width);
  logits = arena.take<float>(detail::kHeadTerms * rows * spec.vocabulary);
  scratch_stride = round_up(
      kernels::attention_scratch_bytes(kAttentionTileTokens * spec.group(), spec.head_width), 64);
  scratch = arena.take<std::byte>(scratch_stride * threads);
  spans_max = kernels::spans_seen(shape.context_tokens, 0).end;
  if (threads == 1 || spans_max == 1) spans_max = 0;
  part_stride = round_up(kernels::attention_part_floats(spec.head_width), 16);
  parts =
      arena.take<float>(std::min(tokens, kDividedTokensMax) * spec.heads * spans_max * part_stride);
  return arena.used();
}

}  // namespace paring::model
