// SPDX-License-Identifier: Apache-2.0
// Perplexity of one model, and KL divergence and top-1 agreement of a model against a base model
// that is run beside it in exact numerics: no logits are stored or rounded. The base is kept as the
// inputs of its head (D floats a row), from which its logits are computed again when needed.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "api/certificate.h"
#include "base/aligned.h"
#include "base/executor.h"
#include "base/progress.h"
#include "base/result.h"
#include "measure/statistics.h"
#include "measure/windows.h"
#include "model/forward.h"

namespace paring::measure {

struct EvalOptions {
  model::Numerics numerics = model::Numerics::kServed;
  kernels::KvType kv_type = kernels::KvType::kQ8;
};
inline constexpr EvalOptions kExactOptions{model::Numerics::kExact, kernels::KvType::kF32};

// Divergence of a model from its base over scored rows: the figures of a certificate (to which it
// converts, as its base class), and both perplexities.
struct Divergence : api::CertificateDivergence {
  Perplexity base;
  Perplexity model;
  double log_ratio = 0;                 // ln(model perplexity / base perplexity)
  double log_ratio_standard_error = 0;  // paired
};

// Tokens that an evaluation computes in one step; several windows share a step.
inline constexpr std::size_t kEvalTokensMax = 1024;

// Owns the step buffers and the caches of evaluation runs on one executor. Not thread-safe.
class Evaluator {
 public:
  // For windows of up to `context_max` tokens. Exhausted when memory does not suffice.
  static Result<std::unique_ptr<Evaluator>> create(const model::BlockSpec& spec,
                                                   std::size_t context_max, Executor& executor);
  model::Forward& forward() { return *forward_; }
  // [kLogitRowsMax, V] for the base's logits while rows are compared.
  float* base_logits() { return base_logits_.as<float>(); }
  // How many windows of `context` tokens one step takes, at least 1.
  std::size_t windows_per_step(std::size_t context) const {
    return std::max<std::size_t>(1, forward_->tokens_max() / context);
  }

  // One step over `windows` (at most windows_per_step() of them), each a sequence of its own.
  // Logits of the last `logit_rows` tokens of each go to `options.sink`, in window order.
  Result<void> run(const model::ModelView& view,
                   std::span<const std::span<const std::int32_t>> windows, std::size_t logit_rows,
                   const EvalOptions& eval, model::ForwardOptions options);

 private:
  Result<model::KvPool*> pool(kernels::KvType type);
  Evaluator(const model::BlockSpec& spec, std::size_t context) : spec_(spec), context_(context) {}
  model::BlockSpec spec_;
  std::size_t context_;
  std::unique_ptr<model::Forward> forward_;
  AlignedBuffer base_logits_;
  std::vector<std::pair<kernels::KvType, std::unique_ptr<model::KvPool>>> pools_;
};

Result<Perplexity> perplexity(Evaluator& evaluator, const model::ModelView& view,
                              const Windows& windows, const EvalOptions& eval,
                              ProgressSink& progress);

// Negative log-likelihoods of the scored tokens of windows [first, first + count), computed in one
// step. Corrupt when one is not a finite number, as damaged weights give. REQUIRES: count <=
// evaluator.windows_per_step(context); losses: count * scored_rows().
Result<void> window_losses(Evaluator& evaluator, const model::ModelView& view,
                           const Windows& windows, std::size_t first, std::size_t count,
                           const EvalOptions& eval, std::span<double> losses);

// The base model's run over windows: what compare() needs of it.
class BaseRun {
 public:
  // `view` must outlive the result.
  static Result<BaseRun> create(Evaluator& evaluator, const model::ModelView& view, Windows windows,
                                const EvalOptions& eval, ProgressSink& progress);
  const Windows& windows() const { return windows_; }
  const model::ModelView& view() const { return *view_; }
  // Head inputs from scored row `row` on, counted over all windows.
  const float* hidden(std::size_t row) const { return hidden_.data() + row * view_->spec().width; }
  // Log of the normalizer and negative log-likelihood of the next token, per scored row.
  const std::vector<double>& log_sums() const { return log_sums_; }
  const std::vector<double>& losses() const { return losses_; }
  const std::vector<std::int32_t>& top() const { return top_; }

 private:
  const model::ModelView* view_ = nullptr;
  Windows windows_;
  std::vector<float> hidden_;
  std::vector<double> log_sums_;
  std::vector<double> losses_;
  std::vector<std::int32_t> top_;
};

// One value a scored row, in window order.
struct RowScores {
  std::vector<double> kl;
  std::vector<double> losses;
  std::vector<std::uint8_t> same_top;
};

// Scores windows [first, first + count) of `base` with `view` in one step; appends to `scores`.
// `options` may start at a later layer, with the residual stream of these windows' inputs.
// Corrupt when a score is not a finite number. REQUIRES: count <=
// evaluator.windows_per_step(context).
Result<void> compare_windows(Evaluator& evaluator, const BaseRun& base, std::size_t first,
                             std::size_t count, const model::ModelView& view,
                             const EvalOptions& eval, const model::ForwardOptions& options,
                             RowScores& scores);

// `base`'s windows; its head inputs are kept, D floats a scored row. For a long text and one model,
// evaluate_text() (text_eval.h) needs less.
Result<Divergence> compare(Evaluator& evaluator, const BaseRun& base, const model::ModelView& view,
                           const EvalOptions& eval, ProgressSink& progress);

// `base_losses`: one a scored row, as in `scores`. REQUIRES: as many as scores, at least one.
Divergence summarize(std::span<const double> base_losses, const RowScores& scores);

}  // namespace paring::measure
