// SPDX-License-Identifier: Apache-2.0
#include "model/forward.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/check.h"
#include "kernels/ops.h"
#include "model/detail/attention_step.h"
#include "model/detail/cache_step.h"
#include "model/detail/expert_step.h"
#include "model/detail/forward_buffers.h"
#include "model/detail/head_terms.h"
#include "model/detail/lora_step.h"
#include "model/detail/step_products.h"

namespace paring::model {

namespace {

using detail::kHeadTerms;
using kernels::KernelTable;
using kernels::PackedMatrix;
using kernels::PanelRange;
using kernels::QuantizedRows;

}  // namespace

std::size_t Forward::bytes_for(const BlockSpec& spec, const ForwardShape& shape,
                               std::size_t threads) {
  ForwardBuffers counting{};
  return counting.lay_out(spec, shape, threads, nullptr);
}

Forward::Forward(const BlockSpec& spec, const ForwardShape& shape, Executor& executor)
    : spec_(spec), tokens_max_(shape.tokens_max), executor_(executor) {
  for (const RopeSpec& rope : spec.ropes) ropes_.emplace_back(rope, shape.context_tokens);
}
Forward::~Forward() = default;

Result<std::unique_ptr<Forward>> Forward::create(const BlockSpec& spec, const ForwardShape& shape,
                                                 Executor& executor) {
  PARING_CHECK(shape.tokens_max > 0, "a step has at least one token");
  std::unique_ptr<Forward> forward(new Forward(spec, shape, executor));
  forward->buffers_ = std::make_unique<ForwardBuffers>();
  PARING_TRY(forward->buffers_->memory,
             AlignedBuffer::create(bytes_for(spec, shape, executor.threads())));
  forward->buffers_->lay_out(spec, shape, executor.threads(), forward->buffers_->memory.data());
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
        kernels_(kernels::kernels()),
        tokens_(tokens_of(segments)),
        attention_(spec_, segments, tokens_, buffers_, forward.executor_.threads()),
        cache_(view, segments, tokens_, buffers_, forward.ropes_),
        adapters_(view, segments, buffers_),
        has_own_rows_(!buffers_.own.empty() && tokens_.size() <= kOwnRowsMax &&
                      options.taps == nullptr),
        experts_(view, buffers_, tokens_.size(), options.numerics, has_own_rows_) {
    std::size_t first = 0;
    for (const Segment& segment : segments) {
      first += segment.tokens.size();
      for (std::size_t i = std::min(segment.logit_rows, segment.tokens.size()); i > 0; --i) {
        logit_tokens_.push_back(first - i);
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
      spec_.experts ? expert_half(worker, layer) : ffn_half(worker, layer);
    }
    if (!logit_tokens_.empty()) head(worker);
  }

 private:
  // The rows that this worker reads: its own copy, whole, or its share of making the common one,
  // which meet() completes.
  const RowBuffers& rows_of(const Worker& worker) const {
    return has_own_rows_ ? buffers_.own[worker.index()] : buffers_.shared;
  }
  Range share(const Worker& worker, std::size_t rows) const {
    return has_own_rows_ ? Range{0, rows} : worker.split(rows);
  }
  void meet(Worker& worker) const {
    if (!has_own_rows_) worker.barrier();
  }

  Product product(const PackedMatrix& matrix) const {
    return product_of(matrix.type, tokens_.size(), options_.numerics, kernels_);
  }
  bool uses_codes(const PackedMatrix& matrix) const { return product(matrix) == Product::kCodes; }

  void tap(Worker& worker, TapSite site, std::size_t layer, const float* data, std::size_t rows,
           std::size_t width) {
    if (options_.taps == nullptr || !options_.taps->wants(site)) return;
    worker.barrier();
    options_.taps->observe_together(worker, site, layer, data, rows, width);
    worker.barrier();
  }

  // A x of the adapters of matrices `ids`, which read x; all of it after the barrier.
  void adapt(Worker& worker, std::span<const MatrixId> ids, const float* x, std::size_t width) {
    if (adapters_.empty()) return;
    adapters_.shrink(worker, ids, x, width);
    worker.barrier();
  }

  void embed(Worker& worker) {
    const Range rows = share(worker, tokens_.size());
    const std::size_t width = spec_.width;
    const PackedMatrix& embedding = view_.matrix(0);
    for (std::size_t t = rows.begin; t < rows.end; ++t) {
      float* x = rows_of(worker).x + t * width;
      if (options_.hidden != nullptr) {
        std::memcpy(x, options_.hidden + t * width, width * sizeof(float));
      } else {
        kernels::unpack_row_f32(embedding, static_cast<std::size_t>(tokens_[t].id), x);
        scale_embedding(x);
      }
    }
    meet(worker);
  }

  void scale_embedding(float* row) const {
    const float scale = spec_.embedding_scale;
    if (scale == 1.0F) return;
    for (std::size_t c = 0; c < spec_.width; ++c) row[c] *= scale;
  }

  // x normed, and quantized when a reader of it wants codes.
  void norm(Worker& worker, const std::vector<float>& weight, bool with_codes) {
    norm_share(worker, weight, with_codes);
    meet(worker);
  }

  // This worker's part of it.
  void norm_share(Worker& worker, const std::vector<float>& weight, bool with_codes) {
    const Range mine = share(worker, tokens_.size());
    const RowBuffers& rows = rows_of(worker);
    const std::size_t width = spec_.width;
    for (std::size_t t = mine.begin; t < mine.end; ++t) {
      kernels_.rms_norm(rows.x + t * width, weight.data(), rows.normed + t * width, width,
                        spec_.norm_epsilon);
    }
    if (with_codes) quantize(mine, rows.normed, width, rows.narrow);
  }

  void quantize(Range rows, const float* data, std::size_t width, const QuantizedRows& target) {
    if (rows.empty()) return;
    kernels_.quantize_rows(data + rows.begin * width, rows.size(), width, width,
                           target.from_row(rows.begin));
  }

  // target[t * stride + n] = (W x)[n] for the rows n of `panels` and every token t.
  void multiply_tokens(const PackedMatrix& w, const float* x, const QuantizedRows& codes,
                       float* target, std::size_t stride, PanelRange panels) {
    if (panels.begin >= panels.end) return;
    multiply(product(w), kernels_, w, x, codes, tokens_.size(), target, stride, panels);
  }

  // The same with bias and adapters of matrix `id`, the `place`th of adapt(); inputs from `normed`
  // and `narrow`.
  void multiply_normed(const RowBuffers& rows, MatrixId id, std::size_t place, float* target,
                       std::size_t stride, PanelRange panels) {
    if (panels.begin >= panels.end) return;
    const PackedMatrix& w = view_.matrix(id);
    multiply_tokens(w, rows.normed, rows.narrow, target, stride, panels);
    const Range mine = outputs_of(w, panels);
    for (std::size_t t = 0; t < tokens_.size(); ++t) {
      add_bias(kernels_, view_.bias(id), mine, target + t * stride);
    }
    adapters_.add(place, id, target, stride, panels);
  }

  // The matrices of a half of a block that read the same rows, and where in a row of the target
  // their outputs begin.
  struct Reader {
    MatrixId id;
    std::size_t offset;
  };

  std::span<const Reader> attention_readers(std::size_t layer, std::array<Reader, 3>& storage) {
    if (spec_.has_fused_qkv) {
      storage[0] = {{MatrixKind::kQkv, layer}, 0};
      return {storage.data(), 1};
    }
    storage = {Reader{{MatrixKind::kQuery, layer}, 0},
               Reader{{MatrixKind::kKey, layer}, spec_.query_width()},
               Reader{{MatrixKind::kValue, layer}, spec_.query_width() + spec_.kv_width()}};
    return storage;
  }

  bool any_uses_codes(std::span<const Reader> readers) const {
    return std::any_of(readers.begin(), readers.end(), [this](const Reader& reader) {
      return uses_codes(view_.matrix(reader.id));
    });
  }

  void attention_half(Worker& worker, std::size_t layer) {
    std::array<Reader, 3> storage;
    const std::span<const Reader> readers = attention_readers(layer, storage);
    const RowBuffers& rows = rows_of(worker);
    tap(worker, TapSite::kLayerInput, layer, rows.x, tokens_.size(), spec_.width);
    norm(worker, view_.model().norms(layer).attention, any_uses_codes(readers));
    tap(worker, TapSite::kAttentionInput, layer, rows.normed, tokens_.size(), spec_.width);

    std::array<MatrixId, 3> ids{};
    std::size_t all_panels = 0;
    for (std::size_t i = 0; i < readers.size(); ++i) {
      ids[i] = readers[i].id;
      all_panels += view_.matrix(readers[i].id).panels();
    }
    adapt(worker, {ids.data(), readers.size()}, rows.normed, spec_.width);
    const Range panels = worker.split(all_panels);
    std::size_t first = 0;
    for (std::size_t i = 0; i < readers.size(); ++i) {
      const Reader& reader = readers[i];
      const std::size_t count = view_.matrix(reader.id).panels();
      const std::size_t begin = std::clamp(panels.begin, first, first + count) - first;
      const std::size_t end = std::clamp(panels.end, first, first + count) - first;
      multiply_normed(rows, reader.id, i, buffers_.qkv + reader.offset, spec_.qkv_width(),
                      {begin, end});
      first += count;
    }
    worker.barrier();

    cache_.rotate_and_write(worker, layer);
    worker.barrier();
    attention_.attend(worker, layer);
    worker.barrier();
    const float* attended = buffers_.shared.attended;
    if (attention_.is_divided()) {
      attention_.join(share(worker, tokens_.size()), layer, rows.attended);
      meet(worker);
      attended = rows.attended;
    }
    tap(worker, TapSite::kAttentionOutput, layer, attended, tokens_.size(), spec_.query_width());
    project(worker, {MatrixKind::kAttentionOut, layer}, attended, rows.heads,
            view_.model().norms(layer).post_attention);
  }

  // x += W data, the end of each half of a block; with a post-norm x += norm(W data).
  void project(Worker& worker, MatrixId id, const float* data, const QuantizedRows& codes,
               const std::vector<float>& post_norm) {
    const PackedMatrix& w = view_.matrix(id);
    if (uses_codes(w)) {
      quantize(share(worker, tokens_.size()), data, w.cols, codes);
      meet(worker);
    }
    adapt(worker, {&id, 1}, data, w.cols);
    const Range split = worker.split(w.panels());
    const PanelRange panels{split.begin, split.end};
    multiply_tokens(w, data, codes, buffers_.delta, spec_.width, panels);
    adapters_.add(0, id, buffers_.delta, spec_.width, panels);
    const Range mine = outputs_of(w, panels);
    for (std::size_t t = 0; !mine.empty() && t < tokens_.size(); ++t) {
      add_bias(kernels_, view_.bias(id), mine, buffers_.delta + t * spec_.width);
    }
    // Without a post-norm outputs can join the common stream as they come.
    const bool adds_at_once = !has_own_rows_ && post_norm.empty();
    if (adds_at_once) add_delta(buffers_.shared.x, {0, tokens_.size()}, mine);
    worker.barrier();
    if (adds_at_once) return;
    const Range rows = share(worker, tokens_.size());
    if (post_norm.empty()) {
      add_delta(rows_of(worker).x, rows, {0, spec_.width});
    } else {
      add_normed(rows_of(worker), rows, post_norm);
    }
    meet(worker);
  }

  void add_delta(float* x, Range tokens, Range columns) {
    for (std::size_t t = tokens.begin; !columns.empty() && t < tokens.end; ++t) {
      const std::size_t first = t * spec_.width + columns.begin;
      kernels_.add(x + first, buffers_.delta + first, columns.size());
    }
  }

  // x += norm(delta): a norm needs whole rows, which all workers have made together.
  void add_normed(const RowBuffers& rows, Range tokens, const std::vector<float>& weight) {
    for (std::size_t t = tokens.begin; t < tokens.end; ++t) {
      float* normed = rows.normed + t * spec_.width;  // no product reads it any more
      kernels_.rms_norm(buffers_.delta + t * spec_.width, weight.data(), normed, spec_.width,
                        spec_.norm_epsilon);
      kernels_.add(rows.x + t * spec_.width, normed, spec_.width);
    }
  }

  void ffn_half(Worker& worker, std::size_t layer) {
    const std::size_t width = spec_.ffn_width;
    const bool is_fused = spec_.has_fused_gate;
    const MatrixId gate{is_fused ? MatrixKind::kGateUp : MatrixKind::kGate, layer};
    const MatrixId up{is_fused ? MatrixKind::kGateUp : MatrixKind::kUp, layer};
    norm(worker, view_.model().norms(layer).ffn,
         uses_codes(view_.matrix(gate)) || uses_codes(view_.matrix(up)));
    const RowBuffers& rows = rows_of(worker);
    tap(worker, TapSite::kFfnInput, layer, rows.normed, tokens_.size(), spec_.width);
    const MatrixId readers[] = {gate, up};
    adapt(worker, {readers, is_fused ? 1U : 2U}, rows.normed, spec_.width);

    // A worker makes the same outputs of gate and up, and so the product without waiting. In a
    // fused matrix up's panels follow gate's, whose number is whole (arch/phi3.cc sees to it).
    const Range split = worker.split((width + kernels::kPanelRows - 1) / kernels::kPanelRows);
    const PanelRange panels{split.begin, split.end};
    const std::size_t stride = buffers_.gate_stride;
    multiply_normed(rows, gate, 0, buffers_.gate, stride, panels);
    if (is_fused) {
      const std::size_t shift = width / kernels::kPanelRows;
      multiply_normed(rows, up, 0, buffers_.gate, stride,
                      {panels.begin + shift, panels.end + shift});
    } else {
      multiply_normed(rows, up, 1, buffers_.up, stride, panels);
    }
    const Range mine{std::min(panels.begin * kernels::kPanelRows, width),
                     std::min(panels.end * kernels::kPanelRows, width)};
    const auto activate =
        spec_.activation == GateActivation::kGeluTanh ? kernels_.gelu_mul : kernels_.silu_mul;
    for (std::size_t t = 0; !mine.empty() && t < tokens_.size(); ++t) {
      const std::size_t offset = t * stride + mine.begin;
      activate(buffers_.gate + offset, buffers_.up + offset,
               buffers_.product + t * width + mine.begin, mine.size());
    }
    worker.barrier();
    tap(worker, TapSite::kFfnProduct, layer, buffers_.product, tokens_.size(), width);
    project(worker, {MatrixKind::kDown, layer}, buffers_.product, rows.wide,
            view_.model().norms(layer).post_ffn);
  }

  void expert_half(Worker& worker, std::size_t layer) {
    const RowBuffers& rows = rows_of(worker);
    const std::size_t count = tokens_.size();
    norm_share(worker, view_.model().norms(layer).ffn, experts_.uses_codes(layer));
    if (has_own_rows_) {
      // Few tokens: a worker scores some of the experts for all of them, then each chooses alike.
      const Range split = worker.split(view_.model().router(layer).panels());
      experts_.score(layer, rows.normed, {0, count}, {split.begin, split.end});
      worker.barrier();
      experts_.choose(worker, {0, count});
    } else {
      const Range mine = worker.split(count);
      experts_.score(layer, rows.normed, mine, {0, view_.model().router(layer).panels()});
      experts_.choose(worker, mine);
      worker.barrier();
    }
    tap(worker, TapSite::kFfnInput, layer, rows.normed, count, spec_.width);
    experts_.sort(worker);
    tap_experts(worker, TapSite::kExpertInput, layer, rows.normed, spec_.width);
    experts_.multiply_in(worker, layer, rows);
    worker.barrier();
    tap_experts(worker, TapSite::kExpertProduct, layer, buffers_.product, spec_.ffn_width);
    experts_.multiply_out(worker, layer);
    worker.barrier();
    experts_.add(worker, share(worker, count), rows.x);
    meet(worker);
  }

  void tap_experts(Worker& worker, TapSite site, std::size_t layer, const float* data,
                   std::size_t width) {
    if (options_.taps == nullptr || !options_.taps->wants(site)) return;
    const ExpertRows rows = experts_.rows(worker, site, data, width);
    worker.barrier();
    options_.taps->observe_experts(worker, site, layer, rows);
    worker.barrier();
  }

  void head(Worker& worker) {
    const PackedMatrix& w = view_.head();
    const RowBuffers& inputs = rows_of(worker);
    const std::size_t width = spec_.width;
    for (std::size_t first = 0; first < logit_tokens_.size(); first += kLogitRowsMax) {
      const std::size_t rows = std::min(kLogitRowsMax, logit_tokens_.size() - first);
      const Range mine = share(worker, rows);
      for (std::size_t r = mine.begin; r < mine.end; ++r) {
        kernels_.rms_norm(inputs.x + logit_tokens_[first + r] * width,
                          view_.model().final_norm().data(), inputs.head_in + r * width, width,
                          spec_.norm_epsilon);
        if (head_product(w) == Product::kCodes) quantize_in_terms(inputs, r);
      }
      meet(worker);
      tap(worker, TapSite::kHeadInput, spec_.layers, inputs.head_in, rows, width);
      if (options_.sink == nullptr) continue;
      head_logits(worker, inputs, w, rows);
      worker.barrier();
      options_.sink->consume(worker,
                             {first, rows, buffers_.logits, spec_.vocabulary, inputs.head_in});
      worker.barrier();
    }
  }

  Product head_product(const PackedMatrix& w) const {
    return product_of(w.type, 1, head_numerics(options_.numerics), kernels_);
  }

  // Rows kHeadTerms * r and the next of `narrow` become the codes of head input r and of the rest.
  void quantize_in_terms(const RowBuffers& rows, std::size_t r) {
    float* rest = rows.normed + r * spec_.width;  // free once the last layer is done
    detail::quantize_in_terms(kernels_, rows.head_in + r * spec_.width, spec_.width, rest,
                              rows.narrow.from_row(kHeadTerms * r),
                              rows.narrow.from_row(kHeadTerms * r + 1));
  }

  // Logits of head inputs [0, rows): this worker's columns of buffers_.logits.
  void head_logits(Worker& worker, const RowBuffers& inputs, const PackedMatrix& w,
                   std::size_t rows) {
    const Range split = worker.split(w.panels());
    const PanelRange panels{split.begin, split.end};
    const Range mine = outputs_of(w, panels);
    const bool has_terms = head_product(w) == Product::kCodes;
    if (!mine.empty()) {
      multiply(head_product(w), kernels_, w, inputs.head_in, inputs.narrow,
               has_terms ? kHeadTerms * rows : rows, buffers_.logits, w.rows, panels);
    }
    for (std::size_t r = 0; !mine.empty() && r < rows; ++r) {
      float* row = buffers_.logits + r * w.rows;
      if (has_terms) {
        // Both terms of a row were multiplied as two tokens, so the weights were read once. Their
        // sums move to row r, which no later row needs any more.
        float* sum = buffers_.logits + kHeadTerms * r * w.rows + mine.begin;
        kernels_.add(sum, sum + w.rows, mine.size());
        std::memmove(row + mine.begin, sum, mine.size() * sizeof(float));
      }
      finish_logits(kernels_, view_, mine, row);
    }
  }

  Forward& forward_;
  ForwardBuffers& buffers_;
  const ModelView& view_;
  const BlockSpec& spec_;
  std::span<const Segment> segments_;
  const ForwardOptions& options_;
  const KernelTable& kernels_;
  const std::vector<StepToken> tokens_;
  const AttentionStep attention_;
  const CacheStep cache_;
  const LoraStep adapters_;
  const bool has_own_rows_;
  const ExpertStep experts_;
  std::vector<std::size_t> logit_tokens_;
  std::size_t positions_end_ = 0;
};

void Forward::run(const ModelView& view, std::span<const Segment> segments,
                  const ForwardOptions& options) {
  Step step(*this, view, segments, options);
  PARING_CHECK(step.token_count() > 0 && step.token_count() <= tokens_max_,
               "a step must fit its buffers");
  PARING_CHECK((options.first_layer == 0) == (options.hidden == nullptr),
               "a start in the middle needs the residual stream");
  PARING_CHECK(options.numerics != Numerics::kFast || kernels::check_fast().has_value(),
               "fast numerics need products in BF16");
  for (RopeTable& rope : ropes_) rope.extend(step.positions_end());
  executor_.run([&](Worker& worker) { step.run(worker); });
}

void Forward::head_exact(Worker& worker, const ModelView& view, const float* hidden,
                         std::size_t rows, float* target) noexcept {
  const PackedMatrix& w = view.head();
  const Range split = worker.split(w.panels());
  if (split.empty()) return;
  const KernelTable& table = kernels::kernels();
  const PanelRange panels{split.begin, split.end};
  table.matmul_f(w, hidden, w.cols, rows, target, w.rows, panels);
  for (std::size_t r = 0; r < rows; ++r) {
    finish_logits(table, view, outputs_of(w, panels), target + r * w.rows);
  }
}

}  // namespace paring::model
