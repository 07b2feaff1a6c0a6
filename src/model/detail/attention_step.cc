// SPDX-License-Identifier: Apache-2.0
#include "model/detail/attention_step.h"

#include <algorithm>
#include <numeric>

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
  rows_.resize(tokens.size());
  std::iota(rows_.begin(), rows_.end(), std::size_t{0});
  std::size_t first = 0;
  for (const Segment& segment : segments) {
    for (std::size_t i = 0; i < segment.tokens.size(); i += kAttentionTileTokens) {
      tiles_.push_back({first + i, std::min(kAttentionTileTokens, segment.tokens.size() - i)});
    }
    first += segment.tokens.size();
  }
  if (can_divide()) {
    const std::vector<Sharing> sharings = find_sharings();
    const bool is_idle = threads > 1 && tiles_.size() * spec.kv_heads < kItemsPerWorker * threads;
    is_divided_ = is_idle || !sharings.empty();
    if (is_divided_) divide(sharings);
  }
  if (is_divided_) return;
  for (const Tile& tile : tiles_) add_items(tile.token, tile.count, kAllSpans, false);
}

void AttentionStep::add_items(std::size_t row, std::size_t count, std::size_t span,
                              bool is_shared) {
  for (std::size_t head = 0; head < spec_.kv_heads; ++head) {
    items_.push_back({row, count, head, span, is_shared});
  }
}

bool AttentionStep::can_divide() const {
  std::size_t end = 0;
  for (const StepToken& token : tokens_) end = std::max(end, token.position + 1);
  const std::size_t spans = kernels::spans_seen(end, 0).end;
  return spans >= 2 && spans <= buffers_.spans_max && tokens_.size() <= kDividedTokensMax;
}

bool AttentionStep::shares_span(const Tile& a, const Tile& b, std::size_t kv_class,
                                std::size_t span) const {
  constexpr std::size_t kSpanPages = kernels::kSpanTokens / kernels::kPageTokens;
  const KvSequence& first = *segments_[tokens_[a.token].segment].sequence;
  const KvSequence& second = *segments_[tokens_[b.token].segment].sequence;
  if (&first == &second || &first.pool() != &second.pool()) return false;
  for (std::size_t i = 0; i < kSpanPages; ++i) {
    const std::size_t page = span * kSpanPages + i;
    const std::size_t id = first.page_id(kv_class, page);
    if (id == KvSequence::kNoPage || id != second.page_id(kv_class, page)) return false;
  }
  return true;
}

// Of layers without windows: those with windows see few spans, and soon none that is shared.
std::vector<AttentionStep::Sharing> AttentionStep::find_sharings() {
  std::size_t open_layer = 0;
  while (open_layer < spec_.layers && spec_.scope(open_layer).window != 0) ++open_layer;
  if (tiles_.size() < 2 || open_layer == spec_.layers) return {};
  const KvPool& pool = segments_[0].sequence->pool();
  const std::size_t kv_class = pool.class_of(open_layer);
  std::vector<Sharing> sharings;
  for (std::size_t span = 0; span < buffers_.spans_max; ++span) {
    std::vector<Sharing> groups;
    for (std::size_t i = 0; i < tiles_.size(); ++i) {
      const Tile& tile = tiles_[i];
      if (tile.shared_spans < span) continue;  // what is shared are prefixes
      if (tokens_[tile.token].position + 1 < (span + 1) * kernels::kSpanTokens) continue;
      const auto group = std::find_if(groups.begin(), groups.end(), [&](const Sharing& each) {
        return shares_span(tiles_[each.tiles[0]], tile, kv_class, span);
      });
      if (group != groups.end()) {
        group->tiles.push_back(i);
      } else {
        groups.push_back({span, {i}});
      }
    }
    const std::size_t before = sharings.size();
    for (Sharing& group : groups) {
      if (group.tiles.size() < 2) continue;
      for (const std::size_t i : group.tiles) tiles_[i].shared_spans = span + 1;
      sharings.push_back(std::move(group));
    }
    if (sharings.size() == before) break;
  }
  return sharings;
}

void AttentionStep::add_shared(const Sharing& sharing) {
  std::size_t first = rows_.size();
  for (const std::size_t i : sharing.tiles) {
    const Tile& tile = tiles_[i];
    if (rows_.size() - first + tile.count > kAttentionTileTokens) {
      add_items(first, rows_.size() - first, sharing.span, true);
      first = rows_.size();
    }
    for (std::size_t t = 0; t < tile.count; ++t) rows_.push_back(tile.token + t);
  }
  add_items(first, rows_.size() - first, sharing.span, true);
}

void AttentionStep::divide(const std::vector<Sharing>& sharings) {
  for (const Sharing& sharing : sharings) add_shared(sharing);
  for (const Tile& tile : tiles_) {
    const std::size_t seen = tokens_[tile.token + tile.count - 1].position + 1;
    // The layer with the widest view decides; those with windows skip what they do not see.
    for (std::size_t s = tile.shared_spans; s < kernels::spans_seen(seen, 0).end; ++s) {
      add_items(tile.token, tile.count, s, false);
    }
  }
}

void AttentionStep::attend(const Worker& worker, std::size_t layer) const {
  for (std::size_t i = worker.index(); i < items_.size(); i += worker.count()) {
    attend_item(worker, layer, items_[i]);
  }
}

void AttentionStep::attend_item(const Worker& worker, std::size_t layer, const Item& item) const {
  if (!item.is_shared || spec_.scope(layer).window == 0) return attend_rows(worker, layer, item);
  // Which pages a window has left differs from sequence to sequence.
  for (std::size_t i = 0; i < item.count; ++i) {
    attend_rows(worker, layer, {item.row + i, 1, item.kv_head, item.span, false});
  }
}

// The queries of a few tokens against what they see of one KV head's cache.
void AttentionStep::attend_rows(const Worker& worker, std::size_t layer, const Item& item) const {
  const std::span<const std::size_t> rows(rows_.data() + item.row, item.count);
  const std::size_t window = spec_.scope(layer).window;
  // Of one segment, the first token sees furthest back; what is shared, all see.
  const std::size_t oldest = tokens_[rows.front()].position + 1;
  const std::size_t newest = tokens_[rows.back()].position + 1;
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
  for (const std::size_t t : rows) {
    for (std::size_t head = item.kv_head * group; head < (item.kv_head + 1) * group; ++head) {
      queries.push_back(buffers_.qkv + t * spec_.qkv_width() + head * d);
      outs.push_back(item.span == kAllSpans
                         ? buffers_.shared.attended + t * spec_.query_width() + head * d
                         : part(t, head, item.span));
      visible.push_back(tokens_[t].position + 1);
    }
  }
  KvSequence& sequence = *segments_[tokens_[rows.front()].segment].sequence;
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
