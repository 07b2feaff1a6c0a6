// SPDX-License-Identifier: Apache-2.0
#include "model/forward.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/aligned.h"
#include "base/check.h"
#include "kernels/ops.h"

namespace paring::model {

namespace {

using kernels::KernelTable;
using kernels::PackedMatrix;
using kernels::PanelRange;
using kernels::QuantizedRows;

// The head's inputs are rounded to int8 twice: the value, and what that left. Measured on SmolLM2,
// a quarter of all activation rounding loss was the head's, and only rows that sample pay for it
// (docs/adr/0008).
constexpr std::size_t kHeadTerms = 2;

// Tokens of one segment whose queries attend together: a page is decoded once for all of them.
constexpr std::size_t kAttentionTileTokens = 16;

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

bool is_block_type(DType type) { return dtype_info(type).block_values > 1; }

}  // namespace

struct Forward::Buffers {
  AlignedBuffer memory;
  float* x;              // [T, D] residual stream
  float* normed;         // [T, D]
  float* query;          // [T, H*d]
  float* key;            // [T, Hkv*d]
  float* value;          // [T, Hkv*d]
  float* attended;       // [T, H*d]
  float* gate;           // [T, F]
  float* up;             // [T, F]
  float* product;        // [T, F]
  float* delta;          // [T, D] output of a half before it joins the residual stream
  float* head_in;        // [R, D]
  float* logits;         // [R, V]
  QuantizedRows narrow;  // [T, D]: inputs of qkv, gate/up, head
  QuantizedRows heads;   // [T, H*d]
  QuantizedRows wide;    // [T, F]
  std::byte* scratch;    // per worker
  std::size_t scratch_stride;

  std::size_t lay_out(const BlockSpec& spec, std::size_t tokens, std::size_t threads,
                      std::byte* base) {
    Arena arena(base);
    const std::size_t rows = std::min(tokens, kLogitRowsMax);
    x = arena.take<float>(tokens * spec.width);
    normed = arena.take<float>(tokens * spec.width);
    query = arena.take<float>(tokens * spec.query_width());
    key = arena.take<float>(tokens * spec.kv_width());
    value = arena.take<float>(tokens * spec.kv_width());
    attended = arena.take<float>(tokens * spec.query_width());
    gate = arena.take<float>(tokens * spec.ffn_width);
    up = arena.take<float>(tokens * spec.ffn_width);
    product = arena.take<float>(tokens * spec.ffn_width);
    delta = arena.take<float>(tokens * spec.width);
    head_in = arena.take<float>(rows * spec.width);
    logits = arena.take<float>(kHeadTerms * rows * spec.vocabulary);
    narrow = take_quantized(arena, std::max(tokens, kHeadTerms * rows), spec.width);
    heads = take_quantized(arena, tokens, spec.query_width());
    wide = take_quantized(arena, tokens, spec.ffn_width);
    scratch_stride = round_up(
        kernels::attention_scratch_bytes(kAttentionTileTokens * spec.group(), spec.head_width), 64);
    scratch = arena.take<std::byte>(scratch_stride * threads);
    return arena.used();
  }
};

std::size_t Forward::bytes_for(const BlockSpec& spec, std::size_t tokens_max, std::size_t threads) {
  Buffers counting{};
  return counting.lay_out(spec, tokens_max, threads, nullptr);
}

Forward::Forward(const BlockSpec& spec, std::size_t tokens_max, Executor& executor)
    : spec_(spec), tokens_max_(tokens_max), executor_(executor), rope_(spec) {}
Forward::~Forward() = default;

Result<std::unique_ptr<Forward>> Forward::create(const BlockSpec& spec, std::size_t tokens_max,
                                                 Executor& executor) {
  PARING_CHECK(tokens_max > 0, "a step has at least one token");
  std::unique_ptr<Forward> forward(new Forward(spec, tokens_max, executor));
  forward->buffers_ = std::make_unique<Buffers>();
  PARING_TRY(forward->buffers_->memory,
             AlignedBuffer::create(bytes_for(spec, tokens_max, executor.threads())));
  forward->buffers_->lay_out(spec, tokens_max, executor.threads(),
                             forward->buffers_->memory.data());
  return forward;
}

std::size_t Forward::bytes() const noexcept { return buffers_->memory.bytes(); }

// One step: everything that its phases share. The same object is read by all workers.
class Forward::Step {
 public:
  Step(Forward& forward, const ModelView& view, std::span<const Segment> segments,
       const ForwardOptions& options)
      : forward_(forward),
        buffers_(*forward.buffers_),
        view_(view),
        spec_(view.spec()),
        segments_(segments),
        options_(options),
        kernels_(kernels::kernels()) {
    for (std::size_t s = 0; s < segments.size(); ++s) {
      const Segment& segment = segments[s];
      const std::size_t first = segment.sequence->length() - segment.tokens.size();
      for (std::size_t i = 0; i < segment.tokens.size(); ++i) {
        tokens_.push_back({segment.tokens[i], first + i, s});
        if (i + segment.logit_rows >= segment.tokens.size()) {
          logit_tokens_.push_back(tokens_.size() - 1);
        }
      }
      for (std::size_t i = 0; i < segment.tokens.size(); i += kAttentionTileTokens) {
        const std::size_t count = std::min(kAttentionTileTokens, segment.tokens.size() - i);
        for (std::size_t head = 0; head < spec_.kv_heads; ++head) {
          items_.push_back({tokens_.size() - segment.tokens.size() + i, count, head});
        }
      }
      positions_end_ = std::max(positions_end_, segment.sequence->length());
    }
  }

  std::size_t token_count() const { return tokens_.size(); }
  std::size_t positions_end() const { return positions_end_; }

  void run(Worker& worker) {
    embed(worker);
    for (std::size_t layer = options_.first_layer; layer < spec_.layers; ++layer) {
      attention_half(worker, layer);
      ffn_half(worker, layer);
    }
    if (!logit_tokens_.empty()) head(worker);
  }

 private:
  struct Token {
    std::int32_t id;
    std::size_t position;
    std::size_t segment;
  };
  struct AttentionItem {
    std::size_t token;  // first
    std::size_t count;
    std::size_t kv_head;
  };

  bool uses_codes(const PackedMatrix& matrix) const {
    return options_.numerics == Numerics::kServed && is_block_type(matrix.type);
  }

  void tap(Worker& worker, TapSite site, std::size_t layer, const float* data, std::size_t rows,
           std::size_t width) {
    if (options_.taps == nullptr || !options_.taps->wants(site)) return;
    worker.barrier();
    if (worker.is_first()) options_.taps->observe(site, layer, data, rows, width);
    worker.barrier();
  }

  void embed(Worker& worker) {
    const Range rows = worker.split(tokens_.size());
    const std::size_t width = spec_.width;
    const PackedMatrix& embedding = view_.matrix(0);
    for (std::size_t t = rows.begin; t < rows.end; ++t) {
      if (options_.hidden != nullptr) {
        std::memcpy(buffers_.x + t * width, options_.hidden + t * width, width * sizeof(float));
      } else {
        kernels::unpack_row_f32(embedding, static_cast<std::size_t>(tokens_[t].id),
                                buffers_.x + t * width);
      }
    }
    worker.barrier();
  }

  // Rows [begin, end) of x normed, and quantized when a reader of them wants codes.
  void norm(Worker& worker, const std::vector<float>& weight, bool with_codes) {
    const Range rows = worker.split(tokens_.size());
    const std::size_t width = spec_.width;
    for (std::size_t t = rows.begin; t < rows.end; ++t) {
      kernels_.rms_norm(buffers_.x + t * width, weight.data(), buffers_.normed + t * width, width,
                        spec_.norm_epsilon);
    }
    if (with_codes) quantize(rows, buffers_.normed, width, buffers_.narrow);
    worker.barrier();
  }

  void quantize(Range rows, const float* data, std::size_t width, const QuantizedRows& target) {
    if (rows.empty()) return;
    kernels_.quantize_rows(data + rows.begin * width, rows.size(), width, width,
                           target.from_row(rows.begin));
  }

  // target[:, rows of `panels`] = W x for every token.
  void multiply(const PackedMatrix& w, const float* x, const QuantizedRows& codes, float* target,
                PanelRange panels, std::size_t tokens) {
    if (panels.begin >= panels.end) return;
    if (uses_codes(w)) {
      kernels_.matmul_q(w, codes, tokens, target, w.rows, panels);
    } else {
      kernels_.matmul_f(w, x, w.cols, tokens, target, w.rows, panels);
    }
  }

  void attention_half(Worker& worker, std::size_t layer) {
    const PackedMatrix& wq = view_.matrix({MatrixKind::kQuery, layer});
    const PackedMatrix& wk = view_.matrix({MatrixKind::kKey, layer});
    const PackedMatrix& wv = view_.matrix({MatrixKind::kValue, layer});
    tap(worker, TapSite::kLayerInput, layer, buffers_.x, tokens_.size(), spec_.width);
    norm(worker, view_.model().norms(layer).attention,
         uses_codes(wq) || uses_codes(wk) || uses_codes(wv));
    tap(worker, TapSite::kAttentionInput, layer, buffers_.normed, tokens_.size(), spec_.width);

    const PackedMatrix* matrices[] = {&wq, &wk, &wv};
    float* targets[] = {buffers_.query, buffers_.key, buffers_.value};
    const Range panels = worker.split(wq.panels() + wk.panels() + wv.panels());
    std::size_t first = 0;
    for (std::size_t i = 0; i < 3; ++i) {
      const std::size_t count = matrices[i]->panels();
      const std::size_t begin = std::clamp(panels.begin, first, first + count) - first;
      const std::size_t end = std::clamp(panels.end, first, first + count) - first;
      multiply(*matrices[i], buffers_.normed, buffers_.narrow, targets[i], {begin, end},
               tokens_.size());
      first += count;
    }
    worker.barrier();

    rotate_and_cache(worker, layer);
    worker.barrier();
    for (std::size_t i = worker.index(); i < items_.size(); i += worker.count()) {
      attend(worker, layer, items_[i]);
    }
    worker.barrier();
    tap(worker, TapSite::kAttentionOutput, layer, buffers_.attended, tokens_.size(),
        spec_.query_width());
    project(worker, view_.matrix({MatrixKind::kAttentionOut, layer}), buffers_.attended,
            buffers_.heads);
  }

  void rotate_and_cache(Worker& worker, std::size_t layer) {
    const std::size_t d = spec_.head_width;
    const Range rows = worker.split(tokens_.size());
    for (std::size_t t = rows.begin; t < rows.end; ++t) {
      const Token& token = tokens_[t];
      for (std::size_t h = 0; h < spec_.heads; ++h) {
        forward_.rope_.apply(buffers_.query + t * spec_.query_width() + h * d, token.position);
      }
      for (std::size_t h = 0; h < spec_.kv_heads; ++h) {
        float* key = buffers_.key + t * spec_.kv_width() + h * d;
        forward_.rope_.apply(key, token.position);
        KvSequence& sequence = *segments_[token.segment].sequence;
        kernels_.kv_write({.type = sequence.pool().type(),
                           .head_width = d,
                           .page = sequence.page_of(token.position, layer, h),
                           .slot = token.position % kernels::kPageTokens,
                           .key = key,
                           .value = buffers_.value + t * spec_.kv_width() + h * d});
      }
    }
  }

  // The queries of a few tokens against the whole cache of one KV head.
  void attend(Worker& worker, std::size_t layer, const AttentionItem& item) {
    const std::size_t group = spec_.group();
    const std::size_t d = spec_.head_width;
    KvSequence& sequence = *segments_[tokens_[item.token].segment].sequence;
    thread_local std::vector<const float*> queries;
    thread_local std::vector<float*> outs;
    thread_local std::vector<std::size_t> visible;
    thread_local std::vector<const std::byte*> pages;
    queries.clear();
    outs.clear();
    visible.clear();
    pages.clear();
    for (std::size_t i = 0; i < item.count; ++i) {
      const std::size_t t = item.token + i;
      for (std::size_t g = 0; g < group; ++g) {
        const std::size_t offset = t * spec_.query_width() + (item.kv_head * group + g) * d;
        queries.push_back(buffers_.query + offset);
        outs.push_back(buffers_.attended + offset);
        visible.push_back(tokens_[t].position + 1);
      }
    }
    const std::size_t page_count =
        (visible.back() + kernels::kPageTokens - 1) / kernels::kPageTokens;
    for (std::size_t p = 0; p < page_count; ++p) {
      pages.push_back(sequence.page(p, layer, item.kv_head));
    }
    kernels_.attention({.type = sequence.pool().type(),
                        .head_width = d,
                        .queries = queries.size(),
                        .q = queries.data(),
                        .out = outs.data(),
                        .visible = visible.data(),
                        .pages = pages.data(),
                        .scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(d))),
                        .scratch = buffers_.scratch + worker.index() * buffers_.scratch_stride});
  }

  // x += W data, the end of each half of a block.
  void project(Worker& worker, const PackedMatrix& w, const float* data,
               const QuantizedRows& codes) {
    if (uses_codes(w)) {
      quantize(worker.split(tokens_.size()), data, w.cols, codes);
      worker.barrier();
    }
    const Range panels = worker.split(w.panels());
    multiply(w, data, codes, buffers_.delta, {panels.begin, panels.end}, tokens_.size());
    const std::size_t begin = panels.begin * kernels::kPanelRows;
    const std::size_t end = std::min(panels.end * kernels::kPanelRows, w.rows);
    for (std::size_t t = 0; begin < end && t < tokens_.size(); ++t) {
      kernels_.add(buffers_.x + t * spec_.width + begin, buffers_.delta + t * spec_.width + begin,
                   end - begin);
    }
    worker.barrier();
  }

  void ffn_half(Worker& worker, std::size_t layer) {
    const PackedMatrix& gate = view_.matrix({MatrixKind::kGate, layer});
    const PackedMatrix& up = view_.matrix({MatrixKind::kUp, layer});
    norm(worker, view_.model().norms(layer).ffn, uses_codes(gate) || uses_codes(up));
    tap(worker, TapSite::kFfnInput, layer, buffers_.normed, tokens_.size(), spec_.width);

    const Range panels = worker.split(gate.panels());
    multiply(gate, buffers_.normed, buffers_.narrow, buffers_.gate, {panels.begin, panels.end},
             tokens_.size());
    multiply(up, buffers_.normed, buffers_.narrow, buffers_.up, {panels.begin, panels.end},
             tokens_.size());
    const std::size_t begin = panels.begin * kernels::kPanelRows;
    const std::size_t end = std::min(panels.end * kernels::kPanelRows, spec_.ffn_width);
    for (std::size_t t = 0; begin < end && t < tokens_.size(); ++t) {
      const std::size_t offset = t * spec_.ffn_width + begin;
      kernels_.silu_mul(buffers_.gate + offset, buffers_.up + offset, buffers_.product + offset,
                        end - begin);
    }
    worker.barrier();
    tap(worker, TapSite::kFfnProduct, layer, buffers_.product, tokens_.size(), spec_.ffn_width);
    project(worker, view_.matrix({MatrixKind::kDown, layer}), buffers_.product, buffers_.wide);
  }

  void head(Worker& worker) {
    const PackedMatrix& w = view_.head();
    const std::size_t width = spec_.width;
    for (std::size_t first = 0; first < logit_tokens_.size(); first += kLogitRowsMax) {
      const std::size_t rows = std::min(kLogitRowsMax, logit_tokens_.size() - first);
      const Range mine = worker.split(rows);
      for (std::size_t r = mine.begin; r < mine.end; ++r) {
        kernels_.rms_norm(buffers_.x + logit_tokens_[first + r] * width,
                          view_.model().final_norm().data(), buffers_.head_in + r * width, width,
                          spec_.norm_epsilon);
        if (uses_codes(w)) quantize_in_terms(r);
      }
      worker.barrier();
      tap(worker, TapSite::kHeadInput, spec_.layers, buffers_.head_in, rows, width);
      if (options_.sink == nullptr) continue;
      head_logits(worker, w, rows);
      worker.barrier();
      options_.sink->consume(worker,
                             {first, rows, buffers_.logits, spec_.vocabulary, buffers_.head_in});
      worker.barrier();
    }
  }

  // Rows kHeadTerms * r and the next of `narrow` become the codes of head input r and of the rest.
  void quantize_in_terms(std::size_t r) {
    const std::size_t width = spec_.width;
    const float* x = buffers_.head_in + r * width;
    const QuantizedRows coarse = buffers_.narrow.from_row(kHeadTerms * r);
    kernels_.quantize_rows(x, 1, width, width, coarse);
    float* rest = buffers_.normed + r * width;  // free once the last layer is done
    for (std::size_t c = 0; c < width; ++c) {
      rest[c] =
          x[c] - coarse.scales[c / kernels::kGroupValues] * static_cast<float>(coarse.codes[c]);
    }
    kernels_.quantize_rows(rest, 1, width, width, buffers_.narrow.from_row(kHeadTerms * r + 1));
  }

  // Logits of head inputs [0, rows): this worker's columns of buffers_.logits.
  void head_logits(Worker& worker, const PackedMatrix& w, std::size_t rows) {
    const Range panels = worker.split(w.panels());
    const bool has_terms = uses_codes(w);
    multiply(w, buffers_.head_in, buffers_.narrow, buffers_.logits, {panels.begin, panels.end},
             has_terms ? kHeadTerms * rows : rows);
    if (!has_terms) return;
    // Both terms of a row were multiplied as two tokens, so the weights were read once. Their sums
    // move to row r, which no later row needs any more.
    const std::size_t begin = panels.begin * kernels::kPanelRows;
    const std::size_t end = std::min(panels.end * kernels::kPanelRows, w.rows);
    for (std::size_t r = 0; begin < end && r < rows; ++r) {
      float* sum = buffers_.logits + kHeadTerms * r * w.rows + begin;
      kernels_.add(sum, sum + w.rows, end - begin);
      std::memmove(buffers_.logits + r * w.rows + begin, sum, (end - begin) * sizeof(float));
    }
  }

  Forward& forward_;
  Buffers& buffers_;
  const ModelView& view_;
  const BlockSpec& spec_;
  std::span<const Segment> segments_;
  const ForwardOptions& options_;
  const KernelTable& kernels_;
  std::vector<Token> tokens_;
  std::vector<std::size_t> logit_tokens_;
  std::vector<AttentionItem> items_;
  std::size_t positions_end_ = 0;
};

void Forward::run(const ModelView& view, std::span<const Segment> segments,
                  const ForwardOptions& options) {
  Step step(*this, view, segments, options);
  PARING_CHECK(step.token_count() > 0 && step.token_count() <= tokens_max_,
               "a step must fit its buffers");
  PARING_CHECK((options.first_layer == 0) == (options.hidden == nullptr),
               "a start in the middle needs the residual stream");
  rope_.extend(step.positions_end());
  executor_.run([&](Worker& worker) { step.run(worker); });
}

void Forward::head_exact(Worker& worker, const ModelView& view, const float* hidden,
                         std::size_t rows, float* target) noexcept {
  const PackedMatrix& w = view.head();
  const Range panels = worker.split(w.panels());
  if (panels.empty()) return;
  kernels::kernels().matmul_f(w, hidden, w.cols, rows, target, w.rows, {panels.begin, panels.end});
}

}  // namespace paring::model
