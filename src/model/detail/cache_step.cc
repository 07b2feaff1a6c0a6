// SPDX-License-Identifier: Apache-2.0
#include "model/detail/cache_step.h"

namespace paring::model {

CacheStep::CacheStep(const ModelView& view, std::span<const Segment> segments,
                     std::span<const StepToken> tokens, const ForwardBuffers& buffers,
                     const std::vector<RopeTable>& ropes)
    : view_(view),
      spec_(view.spec()),
      segments_(segments),
      tokens_(tokens),
      buffers_(buffers),
      ropes_(ropes),
      kernels_(kernels::kernels()) {}

// A unit of work is a token's heads of one KV head: a single token keeps several workers busy.
void CacheStep::rotate_and_write(const Worker& worker, std::size_t layer) const {
  const Range units = worker.split(tokens_.size() * spec_.kv_heads);
  for (std::size_t unit = units.begin; unit < units.end; ++unit) {
    rotate_and_write(unit / spec_.kv_heads, unit % spec_.kv_heads, layer);
  }
}

void CacheStep::rotate_and_write(std::size_t t, std::size_t kv_head, std::size_t layer) const {
  const std::size_t d = spec_.head_width;
  const LayerNorms& norms = view_.model().norms(layer);
  const RopeTable& rope = ropes_[spec_.scope(layer).rope];
  const KeyBalance& balance = view_.model().key_balance(layer);
  const StepToken& token = tokens_[t];
  float* row = buffers_.qkv + t * spec_.qkv_width();
  float* queries = row + kv_head * spec_.group() * d;
  float* key = row + spec_.query_width() + kv_head * d;
  for (std::size_t g = 0; g < spec_.group(); ++g) {
    norm_head(norms.query_head, queries + g * d);
    rope.apply(queries + g * d, token.position);
  }
  norm_head(norms.key_head, key);
  rope.apply(key, token.position);
  KvSequence& sequence = *segments_[token.segment].sequence;
  if (kernels::is_integer(sequence.pool().type())) {
    balance.apply_to_queries(queries, kv_head, spec_.group(), d);
    balance.apply_to_key(key, kv_head, d);
  }
  kernels_.kv_write({.type = sequence.pool().type(),
                     .head_width = d,
                     .page = sequence.page_of(token.position, layer, kv_head),
                     .slot = token.position % kernels::kPageTokens,
                     .key = key,
                     .value = key + spec_.kv_width()});
}

void CacheStep::norm_head(const std::vector<float>& weight, float* head) const {
  if (weight.empty()) return;
  kernels_.rms_norm(head, weight.data(), head, spec_.head_width, spec_.norm_epsilon);
}

}  // namespace paring::model
