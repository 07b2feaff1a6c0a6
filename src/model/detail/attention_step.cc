// SPDX-License-Identifier: Apache-2.0
#include "model/detail/attention_step.h"

#include <algorithm>

#include "kernels/ops.h"

namespace paring::model {

namespace {

// Fewer items than this for each worker are divided: the last ones to finish would leave the other
// workers idle for long.
constexpr std::size_t kItemsPerWorker = 4;

}  // namespace

AttentionStep::AttentionStep(const BlockSpec& spec, std::span<const Segment> segments,
                             std::span<const StepToken> tokens, const ForwardBuffers& buffers,
                             std::size_t threads)
    : spec_(spec), segments_(segments), tokens_(tokens), buffers_(buffers) {
  std::size_t first = 0;
  for (const Segment& segment : segments) {
    for (std::size_t i = 0; i < segment.tokens.size(); i += kAttentionTileTokens) {
      const std::size_t count = std::min(kAttentionTileTokens, segment.tokens.size() - i);
      for (std::size_t head = 0; head < spec.kv_heads; ++head) {
        items_.push_back({first + i, count, head, kAllSpans});
      }
    }
    first += segment.tokens.size();
  }
  if (threads > 1 && items_.size() < kItemsPerWorker * threads) divide();
}

void AttentionStep::divide() {
  std::size_t end = 0;
  for (const StepToken& token : tokens_) end = std::max(end, token.position + 1);
  const std::size_t spans = kernels::spans_seen(end, 0).end;
  if (spans < 2 || spans > buffers_.spans_max || tokens_.size() > kDividedTokensMax) return;
  is_divided_ = true;
  std::vector<Item> divided;
  for (const Item& item : items_) {
    const std::size_t seen = tokens_[item.token + item.count - 1].position + 1;
    // The layer with the widest view decides; those with windows skip what they do not see.
    for (std::size_t s = 0; s < kernels::spans_seen(seen, 0).end; ++s) {
      divided.push_back({item.token, item.count, item.kv_head, s});
    }
  }
  items_ = std::move(divided);
}

void AttentionStep::attend(const Worker& worker, std::size_t layer) const {
  for (std::size_t i = worker.index(); i < items_.size(); i += worker.count()) {
    attend_item(worker, layer, items_[i]);
  }
}

// The queries of a few tokens against what they see of one KV head's cache.
void AttentionStep::attend_item(const Worker& worker, std::size_t layer, const Item& item) const {
  const std::size_t window = spec_.scope(layer).window;
  const std::size_t oldest = tokens_[item.token].position + 1;
  const std::size_t newest = oldest + item.count - 1;
  // The first token of the item sees furthest back.
  std::size_t begin = window != 0 && oldest > window ? oldest - window : 0;
  std::size_t end = newest;
  if (item.span != kAllSpans) {
    begin = std::max(begin, item.span * kernels::kSpanTokens);
    end = std::min(end, (item.span + 1) * kernels::kSpanTokens);
    if (begin >= end) return;  // no row sees the span, and join() does not ask for it
  }
  thread_local std::vector<const float*> queries;
  thread_local std::vector<float*> outs;
  thread_local std::vector<std::size_t> visible;
  thread_local std::vector<const std::byte*> pages;
  queries.clear();
  outs.clear();
  visible.clear();
  pages.clear();
  const std::size_t group = spec_.group();
  const std::size_t d = spec_.head_width;
  for (std::size_t t = item.token; t < item.token + item.count; ++t) {
    for (std::size_t head = item.kv_head * group; head < (item.kv_head + 1) * group; ++head) {
      queries.push_back(buffers_.qkv + t * spec_.qkv_width() + head * d);
      outs.push_back(item.span == kAllSpans
                         ? buffers_.shared.attended + t * spec_.query_width() + head * d
                         : part(t, head, item.span));
      visible.push_back(tokens_[t].position + 1);
    }
  }
  KvSequence& sequence = *segments_[tokens_[item.token].segment].sequence;
  const std::size_t first_page = begin / kernels::kPageTokens;
  for (std::size_t p = first_page; p * kernels::kPageTokens < end; ++p) {
    pages.push_back(sequence.page(p, layer, item.kv_head));
  }
  const bool is_part = item.span != kAllSpans;
  kernels::kernels().attention(
      {.type = sequence.pool().type(),
       .head_width = d,
       .queries = queries.size(),
       .q = queries.data(),
       .out = outs.data(),
       .visible = visible.data(),
       .window = window,
       .pages = pages.data(),
       .first_page = first_page,
       .scale = spec_.score_scale(),
       .soft_cap = spec_.attention_soft_cap,
       .scratch = buffers_.scratch + worker.index() * buffers_.scratch_stride,
       .parts = is_part ? outs.data() : nullptr,
       .span = is_part ? item.span : 0});
}

void AttentionStep::join(Range tokens, std::size_t layer, float* attended) const {
  const std::size_t window = spec_.scope(layer).window;
  for (std::size_t token = tokens.begin; token < tokens.end; ++token) {
    const kernels::SpanRange spans = kernels::spans_seen(tokens_[token].position + 1, window);
    for (std::size_t head = 0; head < spec_.heads; ++head) {
      kernels::kernels().attention_join(
          {.head_width = spec_.head_width,
           .parts = part(token, head, spans.begin),
           .stride = buffers_.part_stride,
           .count = spans.end - spans.begin,
           .out = attended + token * spec_.query_width() + head * spec_.head_width});
    }
  }
}

}  // namespace paring::model
