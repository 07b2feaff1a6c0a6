// SPDX-License-Identifier: Apache-2.0
#include "measure/rescoring.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "engine/loaded_model.h"
#include "engine/sampler.h"
#include "kernels/ops.h"

namespace paring::measure {

namespace {

using model::LogitsChunk;

std::size_t in_pages(std::size_t tokens) {
  return (tokens + kernels::kPageTokens - 1) / kernels::kPageTokens * kernels::kPageTokens;
}

model::ForwardShape shape_of(const Rescorer::Options& options) {
  return {.tokens_max = options.piece_tokens_max, .context_tokens = options.context_tokens};
}

// Keeps the inputs of the head.
class HeadInputs : public model::Taps {
 public:
  explicit HeadInputs(std::vector<float>& kept) : kept_(kept) { kept_.clear(); }
  bool wants(model::TapSite site) const override { return site == model::TapSite::kHeadInput; }
  void observe(model::TapSite, std::size_t, const float* data, std::size_t rows,
               std::size_t width) override {
    kept_.insert(kept_.end(), data, data + rows * width);
  }

 private:
  std::vector<float>& kept_;
};

// What the original says of each row.
class OriginalSink : public model::LogitsSink {
 public:
  OriginalSink(std::span<const std::int32_t> next, std::vector<double>& log_sums,
               std::vector<double>& losses, std::vector<std::int32_t>& top)
      : next_(next), log_sums_(log_sums), losses_(losses), top_(top) {
    log_sums_.assign(next.size(), 0);
    losses_.assign(next.size(), 0);
    top_.assign(next.size(), 0);
  }
  void consume(Worker& worker, const LogitsChunk& chunk) override {
    const Range rows = worker.split(chunk.rows);
    for (std::size_t r = rows.begin; r < rows.end; ++r) {
      const std::size_t row = chunk.first + r;
      const float* logits = chunk.logits + r * chunk.vocabulary;
      log_sums_[row] = kernels::kernels().log_sum_exp(logits, chunk.vocabulary);
      losses_[row] = log_sums_[row] - static_cast<double>(logits[next_[row]]);
      top_[row] = engine::most_likely({logits, chunk.vocabulary});
    }
  }

 private:
  std::span<const std::int32_t> next_;
  std::vector<double>& log_sums_;
  std::vector<double>& losses_;
  std::vector<std::int32_t>& top_;
};

// What the model says of the same rows, beside the original's logits, computed here.
class ModelSink : public model::LogitsSink {
 public:
  struct Row {
    double kl = 0;
    double loss = 0;
    std::int32_t top = 0;
  };
  ModelSink(std::span<const std::int32_t> next, const model::ModelView& original,
            const std::vector<float>& hidden, const std::vector<double>& log_sums, float* logits)
      : rows(next.size()),
        next_(next),
        original_(original),
        hidden_(hidden),
        log_sums_(log_sums),
        logits_(logits) {}
  void consume(Worker& worker, const LogitsChunk& chunk) override {
    model::Forward::head_exact(worker, original_,
                               hidden_.data() + chunk.first * original_.spec().width, chunk.rows,
                               logits_);
    worker.barrier();
    const Range mine = worker.split(chunk.rows);
    for (std::size_t r = mine.begin; r < mine.end; ++r) {
      const std::size_t row = chunk.first + r;
      const float* q = chunk.logits + r * chunk.vocabulary;
      const float* p = logits_ + r * chunk.vocabulary;
      const double q_sum = kernels::kernels().log_sum_exp(q, chunk.vocabulary);
      rows[row].kl =
          kernels::kernels().kl_divergence(p, log_sums_[row], q, q_sum, chunk.vocabulary);
      rows[row].loss = q_sum - static_cast<double>(q[next_[row]]);
      rows[row].top = engine::most_likely({q, chunk.vocabulary});
    }
    worker.barrier();  // the next chunk writes to logits_
  }

  std::vector<Row> rows;

 private:
  std::span<const std::int32_t> next_;
  const model::ModelView& original_;
  const std::vector<float>& hidden_;
  const std::vector<double>& log_sums_;
  float* logits_;
};

}  // namespace

Result<void> check_same_vocabulary(const engine::LoadedModel& model,
                                   const engine::LoadedModel& original) {
  const char* hint = "a divergence needs two models with one vocabulary";
  const std::size_t size = model.model->spec().vocabulary;
  const std::size_t other_size = original.model->spec().vocabulary;
  if (size != other_size) {
    return invalid_argument(fmt::format("{} has a vocabulary of {} tokens, {} one of {}",
                                        model.path, size, original.path, other_size),
                            hint);
  }
  PARING_TRY(const auto tokens, model.file.metadata().strings("tokenizer.ggml.tokens"));
  PARING_TRY(const auto others, original.file.metadata().strings("tokenizer.ggml.tokens"));
  const auto [token, other] =
      std::mismatch(tokens.begin(), tokens.end(), others.begin(), others.end());
  if (token == tokens.end() && other == others.end()) return {};
  return invalid_argument(fmt::format("the vocabularies of {} and {} differ from token {} on",
                                      model.path, original.path, token - tokens.begin()),
                          hint);
}

std::size_t Rescorer::bytes_for(const model::BlockSpec& original, const model::BlockSpec& model,
                                std::size_t threads, const Options& options) {
  const auto side = [&](const model::BlockSpec& spec, const EvalOptions& eval) {
    return model::Forward::bytes_for(spec, shape_of(options), threads) +
           in_pages(options.context_tokens) * model::KvPool::bytes_per_token(spec, eval.kv_type);
  };
  return side(original, options.original) + side(model, options.model) +
         model::kLogitRowsMax * original.vocabulary * sizeof(float) +
         options.piece_tokens_max * original.width * sizeof(float);
}

Result<void> Rescorer::prepare(Side& side, const model::BlockSpec& spec, Executor& executor,
                               const Options& options) {
  PARING_TRY(side.forward, model::Forward::create(spec, shape_of(options), executor));
  PARING_TRY(
      model::KvPool pool,
      model::KvPool::create(spec, side.eval.kv_type, {.tokens = in_pages(options.context_tokens)}));
  side.pool = std::make_unique<model::KvPool>(std::move(pool));
  return {};
}

Result<std::unique_ptr<Rescorer>> Rescorer::create(const model::BlockSpec& original,
                                                   const model::BlockSpec& model,
                                                   Executor& executor, const Options& options) {
  PARING_CHECK(options.piece_tokens_max > 0, "a step takes a token");
  if (original.vocabulary != model.vocabulary) {
    return invalid_argument(fmt::format("vocabularies of {} and {} tokens cannot be compared",
                                        original.vocabulary, model.vocabulary));
  }
  std::unique_ptr<Rescorer> rescorer(new Rescorer(options));
  rescorer->original_.eval = options.original;
  rescorer->model_.eval = options.model;
  PARING_TRY_VOID(prepare(rescorer->original_, original, executor, options));
  PARING_TRY_VOID(prepare(rescorer->model_, model, executor, options));
  PARING_TRY(rescorer->original_logits_,
             AlignedBuffer::create(model::kLogitRowsMax * original.vocabulary * sizeof(float)));
  return rescorer;
}

Result<void> Rescorer::begin(std::span<const std::int32_t> prompt,
                             std::span<const std::int32_t> answer) {
  drop();
  if (prompt.empty() || answer.empty()) {
    return invalid_argument("there is no prompt or no answer to score");
  }
  if (prompt.size() + answer.size() > options_.context_tokens) {
    return invalid_argument(fmt::format("{} tokens of prompt and answer, there is room for {}",
                                        prompt.size() + answer.size(), options_.context_tokens));
  }
  tokens_.assign(prompt.begin(), prompt.end());
  tokens_.insert(tokens_.end(), answer.begin(), answer.end());
  answer_at_ = prompt.size();
  original_.sequence = std::make_unique<model::KvSequence>(*original_.pool);
  model_.sequence = std::make_unique<model::KvSequence>(*model_.pool);
  return {};
}

void Rescorer::drop() {
  original_.sequence.reset();
  model_.sequence.reset();
  tokens_.clear();
  answer_at_ = done_ = 0;
  piece_ = {};
  result_ = {};
}

// A piece ends where the rows that predict the answer begin, so that all of its rows are scored or
// none. The last token predicts nothing that is known.
std::size_t Rescorer::piece_of(std::size_t tokens) const noexcept {
  const std::size_t first_scored = answer_at_ - 1;
  const std::size_t end = done_ < first_scored ? first_scored : tokens_.size() - 1;
  return std::min({end - done_, tokens, options_.piece_tokens_max});
}

Result<void> Rescorer::step(const model::ModelView& original, const model::ModelView& model,
                            std::size_t tokens) {
  PARING_CHECK(!is_done() && tokens > 0, "there is a token to go on with");
  const bool is_turn_of_original = piece_.tokens == 0;
  if (is_turn_of_original) {
    piece_.tokens = piece_of(tokens);
    piece_.rows = done_ + 1 >= answer_at_ ? piece_.tokens : 0;
  }
  const Result<void> stepped =
      is_turn_of_original ? step_original(original) : step_model(original, model);
  if (!stepped) drop();
  return stepped;
}

Result<void> Rescorer::run(Side& side, const model::ModelView& view,
                           model::ForwardOptions options) {
  PARING_TRY_VOID(side.sequence->grow(piece_.tokens));
  const model::Segment segment{side.sequence.get(),
                               std::span(tokens_).subspan(done_, piece_.tokens), piece_.rows};
  options.numerics = side.eval.numerics;
  side.forward->run(view, {&segment, 1}, options);
  return {};
}

Result<void> Rescorer::step_original(const model::ModelView& original) {
  const auto next = std::span<const std::int32_t>(tokens_).subspan(done_ + 1, piece_.rows);
  HeadInputs taps(piece_.hidden);
  OriginalSink sink(next, piece_.log_sums, piece_.losses, piece_.top);
  model::ForwardOptions options;
  options.taps = &taps;
  options.sink = &sink;
  return run(original_, original, options);
}

Result<void> Rescorer::step_model(const model::ModelView& original, const model::ModelView& model) {
  const auto next = std::span<const std::int32_t>(tokens_).subspan(done_ + 1, piece_.rows);
  ModelSink sink(next, original, piece_.hidden, piece_.log_sums, original_logits_.as<float>());
  model::ForwardOptions options;
  options.sink = &sink;
  PARING_TRY_VOID(run(model_, model, options));
  for (std::size_t r = 0; r < piece_.rows; ++r) {
    const ModelSink::Row& row = sink.rows[r];
    if (!std::isfinite(row.kl) || !std::isfinite(row.loss) || !std::isfinite(piece_.losses[r])) {
      return corrupt("a model's output holds values that are not finite numbers",
                     "its weights are damaged or out of range; get the file again");
    }
    const std::size_t at = result_.tokens++;
    result_.kl_sum += row.kl;
    result_.kl_max = std::max(result_.kl_max, row.kl);
    result_.log_ratio += row.loss - piece_.losses[r];
    if (row.top == piece_.top[r]) {
      ++result_.same_top;
    } else if (row.top == next[r] && !result_.first_changed) {
      result_.first_changed = at;
    }
  }
  done_ += piece_.tokens;
  piece_.tokens = 0;
  return {};
}

}  // namespace paring::measure
