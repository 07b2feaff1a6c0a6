// SPDX-License-Identifier: Apache-2.0
#include "model/detail/forward_buffers.h"

#include <algorithm>

#include "model/detail/arena.h"
#include "model/detail/head_terms.h"
#include "model/forward.h"

namespace paring::model {

namespace {

using detail::Arena;
using detail::round_up;

RowBuffers take_rows(Arena& arena, const BlockSpec& spec, std::size_t tokens,
                     std::size_t logit_rows) {
  RowBuffers rows{};
  rows.x = arena.take<float>(tokens * spec.width);
  rows.normed = arena.take<float>(std::max(tokens, logit_rows) * spec.width);
  rows.attended = arena.take<float>(tokens * spec.query_width());
  rows.head_in = arena.take<float>(logit_rows * spec.width);
  rows.narrow = arena.take_quantized(std::max(tokens, detail::kHeadTerms * logit_rows), spec.width);
  rows.heads = arena.take_quantized(tokens, spec.query_width());
  rows.wide = arena.take_quantized(tokens, spec.ffn_width);
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
