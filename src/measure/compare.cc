// SPDX-License-Identifier: Apache-2.0
#include "measure/compare.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/aligned.h"
#include "base/check.h"
#include "kernels/ops.h"

namespace paring::measure {

namespace {

using model::Forward;
using model::ForwardOptions;
using model::LogitsChunk;
using model::ModelView;

struct Moments {
  double mean = 0;
  double standard_error = 0;
};

Moments moments(const std::vector<double>& values) {
  const auto n = static_cast<double>(values.size());
  if (values.empty()) return {};
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
  double squares = 0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  return {mean, values.size() < 2 ? 0.0 : std::sqrt(squares / (n * (n - 1)))};
}

// Nearest-rank with linear interpolation. REQUIRES: sorted, not empty.
double quantile(const std::vector<double>& sorted, double q) {
  const double position = q * static_cast<double>(sorted.size() - 1);
  const auto low = static_cast<std::size_t>(position);
  const std::size_t high = std::min(low + 1, sorted.size() - 1);
  const double share = position - static_cast<double>(low);
  return sorted[low] * (1 - share) + sorted[high] * share;
}

Perplexity to_perplexity(const std::vector<double>& losses) {
  const Moments m = moments(losses);
  const double value = std::exp(m.mean);
  return {value, value * m.standard_error, losses.size()};
}

std::int32_t arg_max(const float* row, std::size_t count) {
  return static_cast<std::int32_t>(std::max_element(row, row + count) - row);
}

// Negative log-likelihood of the next tokens, normalizers and top tokens of a window's scored rows.
class LossSink : public model::LogitsSink {
 public:
  LossSink(const std::vector<std::int32_t>& window, std::size_t first_scored, double* losses,
           double* log_sums, std::int32_t* top)
      : window_(window),
        first_scored_(first_scored),
        losses_(losses),
        log_sums_(log_sums),
        top_(top) {}

  void consume(Worker& worker, const LogitsChunk& chunk) override {
    const Range rows = worker.split(chunk.rows);
    for (std::size_t r = rows.begin; r < rows.end; ++r) {
      const std::size_t row = chunk.first + r;
      if (first_scored_ + row + 1 >= window_.size()) continue;  // the last token predicts nothing
      const float* logits = chunk.logits + r * chunk.vocabulary;
      const double log_sum = kernels::kernels().log_sum_exp(logits, chunk.vocabulary);
      const auto next = static_cast<std::size_t>(window_[first_scored_ + row + 1]);
      losses_[row] = log_sum - static_cast<double>(logits[next]);
      if (log_sums_ != nullptr) log_sums_[row] = log_sum;
      if (top_ != nullptr) top_[row] = arg_max(logits, chunk.vocabulary);
    }
  }

 private:
  const std::vector<std::int32_t>& window_;
  std::size_t first_scored_;
  double* losses_;
  double* log_sums_;
  std::int32_t* top_;
};

// Copies the inputs of the head.
class HiddenTap : public model::Taps {
 public:
  explicit HiddenTap(float* target, std::size_t rows_max) : target_(target), rows_left_(rows_max) {}
  bool wants(model::TapSite site) const override { return site == model::TapSite::kHeadInput; }
  void observe(model::TapSite, std::size_t, const float* data, std::size_t rows,
               std::size_t width) override {
    const std::size_t take = std::min(rows, rows_left_);
    std::copy_n(data, take * width, target_);
    target_ += take * width;
    rows_left_ -= take;
  }

 private:
  float* target_;
  std::size_t rows_left_;
};

// Compares each row with the base's, whose logits are computed here from its head inputs.
class CompareSink : public model::LogitsSink {
 public:
  CompareSink(const BaseRun& base, std::size_t window, float* base_logits, RowScores& scores,
              std::size_t offset)
      : base_(base), window_(window), base_logits_(base_logits), scores_(scores), offset_(offset) {}

  void consume(Worker& worker, const LogitsChunk& chunk) override {
    const std::size_t scored = base_.windows().scored_rows();
    const std::size_t width = base_.view().spec().width;
    const std::size_t rows = std::min(chunk.rows, scored - std::min(scored, chunk.first));
    if (rows == 0) return;
    Forward::head_exact(worker, base_.view(), base_.hidden(window_) + chunk.first * width, rows,
                        base_logits_);
    worker.barrier();
    const auto& tokens = base_.windows().windows[window_];
    const Range mine = worker.split(rows);
    for (std::size_t r = mine.begin; r < mine.end; ++r) {
      const std::size_t row = chunk.first + r;
      const std::size_t global = window_ * scored + row;
      const float* q = chunk.logits + r * chunk.vocabulary;
      const float* p = base_logits_ + r * chunk.vocabulary;
      const double q_sum = kernels::kernels().log_sum_exp(q, chunk.vocabulary);
      const double kl =
          kernels::kernels().kl_divergence(p, base_.log_sums()[global], q, q_sum, chunk.vocabulary);
      const std::size_t at = offset_ + row;
      scores_.kl[at] = kl;
      const auto next = static_cast<std::size_t>(tokens[base_.windows().first_scored() + row + 1]);
      scores_.losses[at] = q_sum - static_cast<double>(q[next]);
      scores_.same_top[at] = arg_max(q, chunk.vocabulary) == base_.top()[global] ? 1 : 0;
    }
  }

 private:
  const BaseRun& base_;
  std::size_t window_;
  float* base_logits_;
  RowScores& scores_;
  std::size_t offset_;
};

}  // namespace

Result<std::unique_ptr<Evaluator>> Evaluator::create(const model::BlockSpec& spec,
                                                     std::size_t context, Executor& executor) {
  std::unique_ptr<Evaluator> evaluator(new Evaluator(spec, context));
  PARING_TRY(evaluator->forward_, Forward::create(spec, context, executor));
  PARING_TRY(evaluator->base_logits_,
             AlignedBuffer::create(model::kLogitRowsMax * spec.vocabulary * sizeof(float)));
  return evaluator;
}

Result<void> Evaluator::run_window(const ModelView& view, const std::vector<std::int32_t>& window,
                                   std::size_t logit_rows, const EvalOptions& eval,
                                   ForwardOptions options) {
  auto found = std::find_if(pools_.begin(), pools_.end(),
                            [&](const auto& pool) { return pool.first == eval.kv_type; });
  if (found == pools_.end()) {
    PARING_TRY(model::KvPool pool, model::KvPool::create(spec_, eval.kv_type, context_));
    pools_.emplace_back(eval.kv_type, std::make_unique<model::KvPool>(std::move(pool)));
    found = std::prev(pools_.end());
  }
  model::KvSequence sequence(*found->second);
  PARING_TRY_VOID(sequence.grow(window.size()));
  const model::Segment segment{&sequence, window, logit_rows};
  options.numerics = eval.numerics;
  forward_->run(view, {&segment, 1}, options);
  return {};
}

Result<Perplexity> perplexity(Evaluator& evaluator, const ModelView& view, const Windows& windows,
                              const EvalOptions& eval, ProgressSink& progress) {
  const std::size_t scored = windows.scored_rows();
  std::vector<double> losses(windows.scored_tokens());
  progress.begin("perplexity", windows.windows.size());
  for (std::size_t w = 0; w < windows.windows.size(); ++w) {
    LossSink sink(windows.windows[w], windows.first_scored(), losses.data() + w * scored, nullptr,
                  nullptr);
    ForwardOptions options;
    options.sink = &sink;
    PARING_TRY_VOID(evaluator.run_window(view, windows.windows[w], scored + 1, eval, options));
    progress.advance(1);
  }
  progress.end();
  return to_perplexity(losses);
}

Result<BaseRun> BaseRun::create(Evaluator& evaluator, const ModelView& view, Windows windows,
                                const EvalOptions& eval, ProgressSink& progress) {
  BaseRun run;
  run.view_ = &view;
  run.windows_ = std::move(windows);
  const std::size_t scored = run.windows_.scored_rows();
  const std::size_t width = view.spec().width;
  run.hidden_.resize(run.windows_.scored_tokens() * width);
  run.log_sums_.resize(run.windows_.scored_tokens());
  run.losses_.resize(run.windows_.scored_tokens());
  run.top_.resize(run.windows_.scored_tokens());
  progress.begin("original model", run.windows_.windows.size());
  for (std::size_t w = 0; w < run.windows_.windows.size(); ++w) {
    HiddenTap tap(run.hidden_.data() + w * scored * width, scored);
    LossSink sink(run.windows_.windows[w], run.windows_.first_scored(),
                  run.losses_.data() + w * scored, run.log_sums_.data() + w * scored,
                  run.top_.data() + w * scored);
    ForwardOptions options;
    options.taps = &tap;
    options.sink = &sink;
    PARING_TRY_VOID(evaluator.run_window(view, run.windows_.windows[w], scored + 1, eval, options));
    progress.advance(1);
  }
  progress.end();
  return run;
}

Result<void> compare_window(Evaluator& evaluator, const BaseRun& base, std::size_t window,
                            const ModelView& view, const EvalOptions& eval,
                            const ForwardOptions& options, RowScores& scores) {
  const std::size_t scored = base.windows().scored_rows();
  const std::size_t offset = scores.kl.size();
  scores.kl.resize(offset + scored);
  scores.losses.resize(offset + scored);
  scores.same_top.resize(offset + scored);
  CompareSink sink(base, window, evaluator.base_logits(), scores, offset);
  ForwardOptions with_sink = options;
  with_sink.sink = &sink;
  return evaluator.run_window(view, base.windows().windows[window], scored + 1, eval, with_sink);
}

Result<Divergence> compare(Evaluator& evaluator, const BaseRun& base, const ModelView& view,
                           const EvalOptions& eval, ProgressSink& progress) {
  RowScores scores;
  progress.begin("divergence", base.windows().windows.size());
  for (std::size_t w = 0; w < base.windows().windows.size(); ++w) {
    PARING_TRY_VOID(compare_window(evaluator, base, w, view, eval, {}, scores));
    progress.advance(1);
  }
  progress.end();
  return summarize(base, scores);
}

Divergence summarize(const BaseRun& base, const RowScores& scores) {
  PARING_CHECK(scores.kl.size() == base.losses().size(), "scores must cover every window");
  Divergence result;
  result.tokens = scores.kl.size();
  const Moments kl = moments(scores.kl);
  result.kl_mean = kl.mean;
  result.kl_standard_error = kl.standard_error;
  std::vector<double> sorted = scores.kl;
  std::sort(sorted.begin(), sorted.end());
  result.kl_median = quantile(sorted, 0.5);
  result.kl_p90 = quantile(sorted, 0.9);
  result.kl_p95 = quantile(sorted, 0.95);
  result.kl_p99 = quantile(sorted, 0.99);
  result.kl_p999 = quantile(sorted, 0.999);
  result.kl_max = sorted.back();
  const std::vector<double> same(scores.same_top.begin(), scores.same_top.end());
  const Moments top = moments(same);
  result.top1 = top.mean;
  result.top1_standard_error = top.standard_error;
  result.base = to_perplexity(base.losses());
  result.model = to_perplexity(scores.losses);
  std::vector<double> difference(scores.losses.size());
  for (std::size_t i = 0; i < difference.size(); ++i) {
    difference[i] = scores.losses[i] - base.losses()[i];
  }
  const Moments ratio = moments(difference);
  result.log_ratio = ratio.mean;
  result.log_ratio_standard_error = ratio.standard_error;
  return result;
}

}  // namespace paring::measure
