// SPDX-License-Identifier: Apache-2.0
#include "measure/compare.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/aligned.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/metrics.h"
#include "engine/sampler.h"
#include "kernels/ops.h"
#include "measure/statistics.h"

namespace paring::measure {

namespace {

using model::Forward;
using model::ForwardOptions;
using model::LogitsChunk;
using model::ModelView;

// Negative log-likelihood of the next tokens, normalizers and top tokens of scored rows, from
// window `first` on. Null targets are not wanted.
class LossSink : public model::LogitsSink {
 public:
  LossSink(const Windows& windows, std::size_t first, double* losses, double* log_sums,
           std::int32_t* top)
      : windows_(windows), first_(first), losses_(losses), log_sums_(log_sums), top_(top) {}

  void consume(Worker& worker, const LogitsChunk& chunk) override {
    const std::size_t scored = windows_.scored_rows();
    const Range rows = worker.split(chunk.rows);
    for (std::size_t r = rows.begin; r < rows.end; ++r) {
      const std::size_t row = first_ * scored + chunk.first + r;
      const float* logits = chunk.logits + r * chunk.vocabulary;
      const double log_sum = kernels::kernels().log_sum_exp(logits, chunk.vocabulary);
      const auto next = static_cast<std::size_t>(windows_.next_token(row / scored, row % scored));
      losses_[row] = log_sum - static_cast<double>(logits[next]);
      if (log_sums_ != nullptr) log_sums_[row] = log_sum;
      if (top_ != nullptr) top_[row] = engine::most_likely({logits, chunk.vocabulary});
    }
  }

 private:
  const Windows& windows_;
  std::size_t first_;
  double* losses_;
  double* log_sums_;
  std::int32_t* top_;
};

// Copies the inputs of the head.
class HiddenTap : public model::Taps {
 public:
  explicit HiddenTap(float* target) : target_(target) {}
  bool wants(model::TapSite site) const override { return site == model::TapSite::kHeadInput; }
  void observe(model::TapSite, std::size_t, const float* data, std::size_t rows,
               std::size_t width) override {
    target_ = std::copy_n(data, rows * width, target_);
  }

 private:
  float* target_;
};

// Compares each row with the base's, whose logits are computed here from its head inputs. Rows come
// from window `first` on and go to `scores` from `offset` on.
class CompareSink : public model::LogitsSink {
 public:
  CompareSink(const BaseRun& base, std::size_t first, float* base_logits, RowScores& scores,
              std::size_t offset)
      : base_(base), first_(first), base_logits_(base_logits), scores_(scores), offset_(offset) {}

  void consume(Worker& worker, const LogitsChunk& chunk) override {
    const Windows& windows = base_.windows();
    const std::size_t scored = windows.scored_rows();
    const std::size_t start = first_ * scored + chunk.first;  // among all rows of the base
    Forward::head_exact(worker, base_.view(), base_.hidden(start), chunk.rows, base_logits_);
    worker.barrier();
    const Range mine = worker.split(chunk.rows);
    for (std::size_t r = mine.begin; r < mine.end; ++r) {
      const std::size_t row = start + r;
      const float* q = chunk.logits + r * chunk.vocabulary;
      const float* p = base_logits_ + r * chunk.vocabulary;
      const double q_sum = kernels::kernels().log_sum_exp(q, chunk.vocabulary);
      const std::size_t at = offset_ + chunk.first + r;
      scores_.kl[at] =
          kernels::kernels().kl_divergence(p, base_.log_sums()[row], q, q_sum, chunk.vocabulary);
      const auto next = static_cast<std::size_t>(windows.next_token(row / scored, row % scored));
      scores_.losses[at] = q_sum - static_cast<double>(q[next]);
      scores_.same_top[at] = engine::most_likely({q, chunk.vocabulary}) == base_.top()[row] ? 1 : 0;
    }
  }

 private:
  const BaseRun& base_;
  std::size_t first_;
  float* base_logits_;
  RowScores& scores_;
  std::size_t offset_;
};

}  // namespace

Result<std::unique_ptr<Evaluator>> Evaluator::create(const model::BlockSpec& spec,
                                                     std::size_t context_max, Executor& executor) {
  const std::size_t tokens = std::max(context_max, kEvalTokensMax);
  std::unique_ptr<Evaluator> evaluator(new Evaluator(spec, tokens));
  PARING_TRY(
      evaluator->forward_,
      Forward::create(spec, {.tokens_max = tokens, .context_tokens = context_max}, executor));
  PARING_TRY(evaluator->base_logits_,
             AlignedBuffer::create(model::kLogitRowsMax * spec.vocabulary * sizeof(float)));
  return evaluator;
}

Result<model::KvPool*> Evaluator::pool(kernels::KvType type) {
  for (const auto& [pool_type, pool] : pools_) {
    if (pool_type == type) return pool.get();
  }
  // Each window may leave part of its last page unused: with windows of at least two pages, half.
  const std::size_t tokens = context_ + context_ / 2 + kernels::kPageTokens;
  PARING_TRY(model::KvPool pool, model::KvPool::create(spec_, type, {.tokens = tokens}));
  pools_.emplace_back(type, std::make_unique<model::KvPool>(std::move(pool)));
  return pools_.back().second.get();
}

Result<void> Evaluator::run(const ModelView& view,
                            std::span<const std::span<const std::int32_t>> windows,
                            std::size_t logit_rows, const EvalOptions& eval,
                            ForwardOptions options) {
  PARING_TRY(model::KvPool * kv, pool(eval.kv_type));
  std::vector<std::unique_ptr<model::KvSequence>> sequences;
  std::vector<model::Segment> segments;
  for (const auto& window : windows) {
    sequences.push_back(std::make_unique<model::KvSequence>(*kv));
    PARING_TRY_VOID(sequences.back()->grow(window.size()));
    segments.push_back({sequences.back().get(), window, logit_rows});
  }
  options.numerics = eval.numerics;
  const double start = system_clock().monotonic_seconds();
  forward_->run(view, segments, options);
  metrics().step_seconds.observe(system_clock().monotonic_seconds() - start);
  for (const auto& window : windows) metrics().prompt_tokens.add(window.size());
  return {};
}

namespace {

// Calls step(first, inputs) for every group of windows that fits a step.
template <typename Step>
Result<void> for_steps(Evaluator& evaluator, const Windows& windows, ProgressSink& progress,
                       const char* label, const Step& step) {
  const std::size_t count = windows.windows.size();
  const std::size_t per_step = evaluator.windows_per_step(windows.context);
  progress.begin(label, count);
  for (std::size_t first = 0; first < count; first += per_step) {
    std::vector<std::span<const std::int32_t>> inputs;
    for (std::size_t w = first; w < std::min(count, first + per_step); ++w) {
      inputs.push_back(windows.input(w));
    }
    PARING_TRY_VOID(step(first, inputs));
    progress.advance(inputs.size());
  }
  progress.end();
  return {};
}

// A model with damaged weights gives NaN, which no figure may hide and no sort may meet.
Result<void> check_finite(std::span<const double> values, const Windows& windows) {
  if (std::all_of(values.begin(), values.end(), [](double v) { return std::isfinite(v); })) {
    return {};
  }
  return corrupt(fmt::format("the model's output in a window of '{}' holds values that are not "
                             "finite numbers",
                             windows.name),
                 "its weights are damaged or out of range; get the file again");
}

}  // namespace

Result<void> window_losses(Evaluator& evaluator, const ModelView& view, const Windows& windows,
                           std::size_t first, std::size_t count, const EvalOptions& eval,
                           std::span<double> losses) {
  const Windows part = windows.part(first, count);
  PARING_CHECK(losses.size() == part.scored_tokens(), "one loss a scored token");
  std::vector<std::span<const std::int32_t>> inputs;
  for (std::size_t w = 0; w < count; ++w) inputs.push_back(part.input(w));
  LossSink sink(part, 0, losses.data(), nullptr, nullptr);
  ForwardOptions options;
  options.sink = &sink;
  PARING_TRY_VOID(evaluator.run(view, inputs, part.scored_rows(), eval, options));
  return check_finite(losses, windows);
}

Result<Perplexity> perplexity(Evaluator& evaluator, const ModelView& view, const Windows& windows,
                              const EvalOptions& eval, ProgressSink& progress) {
  std::vector<double> losses(windows.scored_tokens());
  const std::size_t scored = windows.scored_rows();
  PARING_TRY_VOID(for_steps(
      evaluator, windows, progress, "perplexity", [&](std::size_t first, const auto& inputs) {
        return window_losses(evaluator, view, windows, first, inputs.size(), eval,
                             std::span(losses).subspan(first * scored, inputs.size() * scored));
      }));
  return perplexity_of(losses);
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
  PARING_TRY_VOID(for_steps(evaluator, run.windows_, progress, "original model",
                            [&](std::size_t first, const auto& inputs) {
                              HiddenTap tap(run.hidden_.data() + first * scored * width);
                              LossSink sink(run.windows_, first, run.losses_.data(),
                                            run.log_sums_.data(), run.top_.data());
                              ForwardOptions options;
                              options.taps = &tap;
                              options.sink = &sink;
                              return evaluator.run(view, inputs, scored, eval, options);
                            }));
  PARING_TRY_VOID(check_finite(run.losses_, run.windows_));
  return run;
}

Result<void> compare_windows(Evaluator& evaluator, const BaseRun& base, std::size_t first,
                             std::size_t count, const ModelView& view, const EvalOptions& eval,
                             const ForwardOptions& options, RowScores& scores) {
  const std::size_t scored = base.windows().scored_rows();
  const std::size_t offset = scores.kl.size();
  const std::size_t rows = offset + count * scored;
  scores.kl.resize(rows);
  scores.losses.resize(rows);
  scores.same_top.resize(rows);
  std::vector<std::span<const std::int32_t>> inputs;
  for (std::size_t w = first; w < first + count; ++w) inputs.push_back(base.windows().input(w));
  CompareSink sink(base, first, evaluator.base_logits(), scores, offset);
  ForwardOptions with_sink = options;
  with_sink.sink = &sink;
  PARING_TRY_VOID(evaluator.run(view, inputs, scored, eval, with_sink));
  PARING_TRY_VOID(check_finite(std::span(scores.losses).subspan(offset), base.windows()));
  return check_finite(std::span(scores.kl).subspan(offset), base.windows());
}

Result<Divergence> compare(Evaluator& evaluator, const BaseRun& base, const ModelView& view,
                           const EvalOptions& eval, ProgressSink& progress) {
  RowScores scores;
  PARING_TRY_VOID(for_steps(evaluator, base.windows(), progress, "divergence",
                            [&](std::size_t first, const auto& inputs) {
                              return compare_windows(evaluator, base, first, inputs.size(), view,
                                                     eval, {}, scores);
                            }));
  return summarize(base.losses(), scores);
}

Divergence summarize(std::span<const double> base_losses, const RowScores& scores) {
  PARING_CHECK(!scores.kl.empty() && scores.kl.size() == base_losses.size(),
               "scores must cover every window");
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
  result.base = perplexity_of(base_losses);
  result.model = perplexity_of(scores.losses);
  std::vector<double> difference(scores.losses.size());
  std::vector<double> squared_delta_p(scores.losses.size());
  for (std::size_t i = 0; i < difference.size(); ++i) {
    difference[i] = scores.losses[i] - base_losses[i];
    const double delta_p = std::exp(-scores.losses[i]) - std::exp(-base_losses[i]);
    squared_delta_p[i] = delta_p * delta_p;
  }
  const Moments ratio = moments(difference);
  result.log_ratio = ratio.mean;
  result.log_ratio_standard_error = ratio.standard_error;
  const Moments delta_p = moments(squared_delta_p);
  result.delta_p_rms = std::sqrt(delta_p.mean);
  // First order: d sqrt(x) = dx / (2 sqrt(x)).
  if (delta_p.mean > 0) {
    result.delta_p_rms_standard_error = delta_p.standard_error / (2 * result.delta_p_rms);
  }
  return result;
}

}  // namespace paring::measure
