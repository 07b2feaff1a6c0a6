// SPDX-License-Identifier: Apache-2.0
#include "model/encoder.h"

#include <algorithm>
#include <array>
#include <vector>

#include "base/check.h"
#include "kernels/ops.h"
#include "model/detail/encoder_buffers.h"

namespace paring::model {

namespace {

using kernels::KernelTable;
using kernels::PackedMatrix;
using kernels::PanelRange;
using kernels::QuantizedRows;

// Outputs [begin, end) that `panels` of a matrix stand for.
Range outputs_of(const PackedMatrix& w, PanelRange panels) {
  return {std::min(panels.begin * kernels::kPanelRows, w.rows),
          std::min(panels.end * kernels::kPanelRows, w.rows)};
}

void activate(const KernelTable& table, EncoderActivation activation, float* x, std::size_t count) {
  switch (activation) {
    case EncoderActivation::kGeluErf:
      return table.gelu_erf(x, count);
    case EncoderActivation::kGeluTanh:
      return table.gelu_tanh(x, count);
    case EncoderActivation::kRelu:
      // NaN stays: it is not below 0.
      for (std::size_t i = 0; i < count; ++i) x[i] = x[i] < 0 ? 0 : x[i];
      return;
  }
}

}  // namespace

std::size_t Encoder::bytes_for(const BlockSpec& spec, std::size_t tokens_max, std::size_t threads) {
  EncoderBuffers counting{};
  return counting.lay_out(spec, tokens_max, threads, nullptr);
}

Encoder::Encoder(const BlockSpec& spec, std::size_t tokens_max, Executor& executor)
    : spec_(spec), tokens_max_(tokens_max), executor_(executor) {}
Encoder::~Encoder() = default;

Result<std::unique_ptr<Encoder>> Encoder::create(const BlockSpec& spec, std::size_t tokens_max,
                                                 Executor& executor) {
  PARING_CHECK(spec.encoder.has_value(), "an encoder's spec");
  PARING_CHECK(tokens_max > 0, "a step has at least one token");
  std::unique_ptr<Encoder> encoder(new Encoder(spec, tokens_max, executor));
  encoder->buffers_ = std::make_unique<EncoderBuffers>();
  PARING_TRY(encoder->buffers_->memory,
             AlignedBuffer::create(bytes_for(spec, tokens_max, executor.threads())));
  encoder->buffers_->lay_out(spec, tokens_max, executor.threads(),
                             encoder->buffers_->memory.data());
  return encoder;
}

// One step: everything that its phases share. The same object is read by all workers.
class Encoder::Step {
 public:
  Step(Encoder& encoder, const ModelView& view, std::span<const EncoderText> texts,
       const EncoderOptions& options)
      : buffers_(*encoder.buffers_),
        view_(view),
        spec_(view.spec()),
        tables_(view.model().encoder_tables()),
        options_(options),
        kernels_(kernels::kernels()) {
    for (const EncoderText& text : texts) {
      const std::size_t count = text.tokens.size();
      PARING_CHECK(count > 0 && count <= spec_.context_max, "a text within the positions");
      texts_.push_back({tokens_.size(), count});
      for (std::size_t i = 0; i < count; ++i) {
        tokens_.push_back(
            {text.tokens[i], i, text.types.empty() ? std::uint8_t{0} : text.types[i]});
      }
    }
  }

  std::size_t token_count() const { return tokens_.size(); }

  void run(Worker& worker) {
    embed(worker);
    for (std::size_t layer = 0; layer < spec_.layers; ++layer) {
      attention_half(worker, layer);
      ffn_half(worker, layer);
    }
  }

 private:
  struct Token {
    std::int32_t id;
    std::size_t position;
    std::uint8_t type;
  };
  struct Text {
    std::size_t first;  // token
    std::size_t count;
  };

  Product product(MatrixId id) const {
    return product_of(view_.matrix(id).type, tokens_.size(), options_.numerics, kernels_);
  }
  bool uses_codes(MatrixId id) const { return product(id) == Product::kCodes; }
  bool attention_uses_codes(std::size_t layer) const {
    return uses_codes({MatrixKind::kQuery, layer}) || uses_codes({MatrixKind::kKey, layer}) ||
           uses_codes({MatrixKind::kValue, layer});
  }

  void tap(Worker& worker, TapSite site, std::size_t layer, const float* data, std::size_t width) {
    if (options_.taps == nullptr || !options_.taps->wants(site)) return;
    worker.barrier();
    options_.taps->observe_together(worker, site, layer, data, tokens_.size(), width);
    worker.barrier();
  }

  // x = norm(word + type + position), and its codes for the first layer.
  void embed(Worker& worker) {
    const std::size_t width = spec_.width;
    const Range rows = worker.split(tokens_.size());
    for (std::size_t t = rows.begin; t < rows.end; ++t) {
      const Token& token = tokens_[t];
      float* x = buffers_.x + t * width;
      kernels::unpack_row_f32(view_.matrix(0), static_cast<std::size_t>(token.id), x);
      if (!tables_.token_types.empty()) {
        kernels_.add(x, tables_.token_types.data() + token.type * width, width);
      }
      kernels_.add(x, tables_.positions.data() + token.position * width, width);
      normalize_row(tables_.embedding_norm, x);
    }
    quantize(rows, attention_uses_codes(0), buffers_.x, width, buffers_.narrow);
    worker.barrier();
  }

  void normalize_row(const LayerNormWeights& norm, float* x) {
    kernels_.layer_norm(x, norm.weight.data(), norm.bias.data(), x, spec_.width,
                        spec_.norm_epsilon);
  }

  void quantize(Range rows, bool is_wanted, const float* data, std::size_t width,
                const QuantizedRows& target) {
    if (!is_wanted || rows.empty()) return;
    kernels_.quantize_rows(data + rows.begin * width, rows.size(), width, width,
                           target.from_row(rows.begin));
  }

  // target[t * stride + n] = (W x)[n] + bias[n] for the rows n of `panels` and every token t.
  Range multiply_tokens(MatrixId id, const float* x, const QuantizedRows& codes, float* target,
                        std::size_t stride, PanelRange panels) {
    const PackedMatrix& w = view_.matrix(id);
    const Range mine = outputs_of(w, panels);
    if (mine.empty()) return mine;
    multiply(product(id), kernels_, w, x, codes, tokens_.size(), target, stride, panels);
    const float* bias = view_.bias(id).data() + mine.begin;
    for (std::size_t t = 0; t < tokens_.size(); ++t) {
      kernels_.add(target + t * stride + mine.begin, bias, mine.size());
    }
    return mine;
  }

  void attention_half(Worker& worker, std::size_t layer) {
    const std::size_t width = spec_.width;
    tap(worker, TapSite::kLayerInput, layer, buffers_.x, width);
    tap(worker, TapSite::kAttentionInput, layer, buffers_.x, width);
    constexpr std::array kReaders = {MatrixKind::kQuery, MatrixKind::kKey, MatrixKind::kValue};
    // The three matrices have the same shape; their panels are shared out as one row of them.
    const std::size_t panels = view_.matrix({MatrixKind::kQuery, layer}).panels();
    const Range mine = worker.split(panels * kReaders.size());
    for (std::size_t r = 0; r < kReaders.size(); ++r) {
      const PanelRange part{std::clamp(mine.begin, r * panels, (r + 1) * panels) - r * panels,
                            std::clamp(mine.end, r * panels, (r + 1) * panels) - r * panels};
      multiply_tokens({kReaders[r], layer}, buffers_.x, buffers_.narrow,
                      buffers_.qkv + r * spec_.query_width(), spec_.qkv_width(), part);
    }
    worker.barrier();
    for (std::size_t i = worker.index(); i < texts_.size() * spec_.heads; i += worker.count()) {
      attend(worker, texts_[i / spec_.heads], i % spec_.heads);
    }
    worker.barrier();
    tap(worker, TapSite::kAttentionOutput, layer, buffers_.attended, spec_.query_width());
    join(worker, {MatrixKind::kAttentionOut, layer}, buffers_.attended, buffers_.narrow,
         tables_.norms[layer].attention, uses_codes({MatrixKind::kUp, layer}));
  }

  // One head of one text: its keys and values are laid out as pages of this worker, then all of
  // its queries see all of them.
  void attend(Worker& worker, const Text& text, std::size_t head) {
    const std::size_t d = spec_.head_width;
    const std::size_t stride = spec_.qkv_width();
    const std::size_t page_bytes = kernels::kv_page_bytes(kernels::KvType::kF32, d);
    std::byte* own = buffers_.pages + worker.index() * buffers_.pages_stride;
    const float* first = buffers_.qkv + text.first * stride + head * d;
    thread_local std::vector<const std::byte*> pages;
    pages.clear();
    for (std::size_t t = 0; t < text.count; ++t) {
      std::byte* page = own + t / kernels::kPageTokens * page_bytes;
      if (t % kernels::kPageTokens == 0) pages.push_back(page);
      const float* key = first + t * stride + spec_.query_width();
      kernels_.kv_write({.type = kernels::KvType::kF32,
                         .head_width = d,
                         .page = page,
                         .slot = t % kernels::kPageTokens,
                         .key = key,
                         .value = key + spec_.kv_width()});
    }
    std::array<const float*, kEncoderTileTokens> queries;
    std::array<float*, kEncoderTileTokens> outs;
    std::array<std::size_t, kEncoderTileTokens> visible;
    visible.fill(text.count);
    for (std::size_t begin = 0; begin < text.count; begin += kEncoderTileTokens) {
      const std::size_t count = std::min(kEncoderTileTokens, text.count - begin);
      for (std::size_t i = 0; i < count; ++i) {
        const std::size_t t = begin + i;
        queries[i] = first + t * stride;
        outs[i] = buffers_.attended + (text.first + t) * spec_.query_width() + head * d;
      }
      kernels_.attention({.type = kernels::KvType::kF32,
                          .head_width = d,
                          .queries = count,
                          .q = queries.data(),
                          .out = outs.data(),
                          .visible = visible.data(),
                          .window = 0,
                          .pages = pages.data(),
                          .first_page = 0,
                          .scale = spec_.score_scale(),
                          .soft_cap = 0,
                          .scratch = buffers_.scratch + worker.index() * buffers_.scratch_stride});
    }
  }

  // x = norm(x + W data + bias), the end of each half, and its codes if the next matrix wants them.
  void join(Worker& worker, MatrixId id, const float* data, const QuantizedRows& codes,
            const LayerNormWeights& norm, bool next_uses_codes) {
    const PackedMatrix& w = view_.matrix(id);
    const Range rows = worker.split(tokens_.size());
    if (uses_codes(id)) {
      quantize(rows, true, data, w.cols, codes);
      worker.barrier();
    }
    const Range split = worker.split(w.panels());
    multiply_tokens(id, data, codes, buffers_.delta, spec_.width, {split.begin, split.end});
    worker.barrier();
    for (std::size_t t = rows.begin; t < rows.end; ++t) {
      float* x = buffers_.x + t * spec_.width;
      kernels_.add(x, buffers_.delta + t * spec_.width, spec_.width);
      normalize_row(norm, x);
    }
    quantize(rows, next_uses_codes, buffers_.x, spec_.width, buffers_.narrow);
    worker.barrier();
  }

  void ffn_half(Worker& worker, std::size_t layer) {
    tap(worker, TapSite::kFfnInput, layer, buffers_.x, spec_.width);
    const MatrixId up{MatrixKind::kUp, layer};
    const Range split = worker.split(view_.matrix(up).panels());
    const Range mine = multiply_tokens(up, buffers_.x, buffers_.narrow, buffers_.inner,
                                       spec_.ffn_width, {split.begin, split.end});
    for (std::size_t t = 0; !mine.empty() && t < tokens_.size(); ++t) {
      activate(kernels_, spec_.encoder->activation,
               buffers_.inner + t * spec_.ffn_width + mine.begin, mine.size());
    }
    worker.barrier();
    tap(worker, TapSite::kFfnProduct, layer, buffers_.inner, spec_.ffn_width);
    const bool next = layer + 1 < spec_.layers && attention_uses_codes(layer + 1);
    join(worker, {MatrixKind::kDown, layer}, buffers_.inner, buffers_.wide,
         tables_.norms[layer].ffn, next);
  }

  EncoderBuffers& buffers_;
  const ModelView& view_;
  const BlockSpec& spec_;
  const EncoderTables& tables_;
  const EncoderOptions& options_;
  const KernelTable& kernels_;
  std::vector<Token> tokens_;
  std::vector<Text> texts_;
};

std::span<const float> Encoder::run(const ModelView& view, std::span<const EncoderText> texts,
                                    const EncoderOptions& options) {
  Step step(*this, view, texts, options);
  PARING_CHECK(step.token_count() > 0 && step.token_count() <= tokens_max_,
               "a step must fit its buffers");
  PARING_CHECK(options.numerics != Numerics::kFast || kernels::check_fast().has_value(),
               "fast numerics need products in BF16");
  executor_.run([&](Worker& worker) { step.run(worker); });
  return {buffers_->x, step.token_count() * spec_.width};
}

}  // namespace paring::model
