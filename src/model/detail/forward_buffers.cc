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
  if (!spec.experts) rows.wide = arena.take_quantized(tokens, spec.ffn_width);
  return rows;
}

ExpertChoice take_choice(Arena& arena, std::size_t pairs) {
  ExpertChoice choice{};
  choice.experts = arena.take<std::uint32_t>(pairs);
  choice.weights = arena.take<float>(pairs);
  return choice;
}

ExpertBuffers take_experts(Arena& arena, const BlockSpec& spec, std::size_t tokens,
                           std::size_t threads) {
  const ExpertSpec& experts = *spec.experts;
  const std::size_t pairs = tokens * experts.used;
  const std::size_t rows = std::min(tokens, kExpertRowsMax);
  ExpertBuffers buffers{};
  buffers.scores = arena.take<float>(tokens * experts.count);
  buffers.choice = take_choice(arena, pairs);
  buffers.out = arena.take<float>(pairs * spec.width);
  for (std::size_t i = 0; i < threads; ++i) {
    ExpertWorkerBuffers own{};
    own.choice = take_choice(arena, std::min(tokens, kOwnRowsMax) * experts.used);
    own.begins = arena.take<std::size_t>(experts.count + 1);
    own.tokens = arena.take<std::uint32_t>(pairs);
    own.places = arena.take<std::uint32_t>(pairs);
    own.gathered = arena.take<float>(rows * spec.width);
    own.narrow = arena.take_quantized(rows, spec.width);
    own.wide = arena.take_quantized(rows, spec.ffn_width);
    buffers.own.push_back(own);
  }
  return buffers;
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
  const std::size_t ffn_rows = spec.experts ? tokens * spec.experts->used : tokens;
  gate = arena.take<float>(ffn_rows * gate_stride);
  up = spec.has_fused_gate ? gate : arena.take<float>(ffn_rows * gate_stride);
  if (spec.has_fused_gate && base != nullptr) up += spec.ffn_width;
  product = arena.take<float>(ffn_rows * spec.ffn_width);
  if (spec.experts) experts = take_experts(arena, spec, tokens, threads);
  delta = arena.take<float>(tokens * spec.width);
  logits = arena.take<float>(detail::kHeadTerms * rows * spec.vocabulary);
  scratch_stride = round_up(
      kernels::attention_scratch_bytes(kAttentionTileTokens * spec.group(), spec.head_width), 64);
  scratch = arena.take<std::byte>(scratch_stride * threads);
  spans_max = kernels::spans_seen(shape.context_tokens, 0).end;
  if (spans_max == 1) spans_max = 0;
  part_stride = round_up(kernels::attention_part_floats(spec.head_width), 16);
  parts =
      arena.take<float>(std::min(tokens, kDividedTokensMax) * spec.heads * spans_max * part_stride);
  lora_rank = shape.lora_rank;
  lora_width = std::max({spec.qkv_width(), gate_stride, spec.width});
  lora_low = arena.take<float>(kLoraReaders * tokens * lora_rank);
  lora_out = arena.take<float>(lora_rank == 0 ? 0 : kLoraReaders * tokens * lora_width);
  return arena.used();
}

}  // namespace paring::model
