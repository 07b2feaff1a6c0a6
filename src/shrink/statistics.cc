// SPDX-License-Identifier: Apache-2.0
#include "shrink/statistics.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <map>
#include <memory>

#include "base/clock.h"

namespace paring::shrink {

namespace {

using model::MatrixId;
using model::MatrixKind;
using model::TapSite;

constexpr std::size_t kNoSource = SIZE_MAX;

// By slot, the first slot that reads the same inputs; kNoSource for an untied embedding, which
// reads tokens.
std::vector<std::size_t> source_slots(const model::Model& model) {
  std::map<std::pair<TapSite, std::size_t>, std::size_t> first;
  std::vector<std::size_t> sources(model.matrix_count(), kNoSource);
  for (std::size_t i = 0; i < sources.size(); ++i) {
    const MatrixId id = model.slot(i).id;
    if (id.kind == MatrixKind::kEmbedding && !model.spec().tied_head) continue;
    const TapSite site = model::input_site(id.kind);
    const std::size_t layer = site == TapSite::kHeadInput ? model.spec().layers : id.layer;
    sources[i] = first.emplace(std::pair(site, layer), i).first->second;
  }
  return sources;
}

// Sums of squares of the inputs of each expert of one matrix.
class ExpertSquares {
 public:
  ExpertSquares(std::size_t experts, std::size_t cols)
      : cols_(cols), squares_(experts * cols), tokens_(experts) {}

  // By all workers at once.
  void add(const Worker& worker, const model::ExpertRows& rows) noexcept {
    const Range columns = worker.split(cols_);
    for (std::size_t e = 0; e < tokens_.size(); ++e) {
      double* squares = squares_.data() + e * cols_;
      for (std::size_t i = rows.begins[e]; i < rows.begins[e + 1]; ++i) {
        const float* row = rows.data + rows.row(i) * cols_;
        for (std::size_t c = columns.begin; c < columns.end; ++c) {
          squares[c] += static_cast<double>(row[c]) * static_cast<double>(row[c]);
        }
      }
      if (worker.is_first()) {
        tokens_[e] += static_cast<double>(rows.begins[e + 1] - rows.begins[e]);
      }
    }
  }
  std::size_t cols() const { return cols_; }
  const std::vector<double>& tokens() const { return tokens_; }
  std::vector<float> mean_squares() const {
    std::vector<float> means(squares_.size());
    for (std::size_t i = 0; i < means.size(); ++i) {
      const double tokens = tokens_[i / cols_];
      if (tokens > 0) means[i] = static_cast<float>(squares_[i] / tokens);
    }
    fill_unseen_experts(means, cols_);
    return means;
  }

 private:
  std::size_t cols_;
  std::vector<double> squares_;
  std::vector<double> tokens_;
};

// Adds up second moments, or only squares, at every site that some matrix reads.
class MomentTap : public model::Taps {
 public:
  static Result<std::unique_ptr<MomentTap>> create(const model::Model& model, std::size_t tokens,
                                                   const StatisticsOptions& options) {
    std::unique_ptr<MomentTap> tap(new MomentTap(model.matrix_count()));
    const std::vector<std::size_t> sources = source_slots(model);
    std::vector<std::size_t> widths;
    for (std::size_t i = 0; i < sources.size(); ++i) {
      const model::MatrixSlot& slot = model.slot(i);
      if (sources[i] == i && slot.experts == 0) widths.push_back(slot.cols);
    }
    const std::size_t span =
        options.moment_bytes_max == 0 ? 0 : span_within(widths, options.moment_bytes_max);
    for (std::size_t i = 0; i < sources.size(); ++i) {
      if (sources[i] != i) continue;
      const MatrixId id = model.slot(i).id;
      const TapSite site = model::input_site(id.kind);
      if (const std::size_t experts = model.slot(i).experts; experts != 0) {
        tap->experts_[i] = std::make_unique<ExpertSquares>(experts, model.slot(i).cols);
        tap->expert_sites_[{site, id.layer}] = tap->experts_[i].get();
        continue;
      }
      tap->moments_[i] = std::make_unique<InputMoments>(model.slot(i).cols, span);
      tap->sites_[{site, site == TapSite::kHeadInput ? model.spec().layers : id.layer}] =
          tap->moments_[i].get();
    }
    PARING_TRY(tap->scratch_, InputMoments::Scratch::create(widths, span, tokens));
    // The head sees few rows at a time.
    PARING_TRY(tap->head_scratch_,
               InputMoments::Scratch::create({&model.spec().width, 1}, span, model::kLogitRowsMax));
    return tap;
  }

  bool wants(TapSite site) const override { return site != TapSite::kLayerInput; }
  void observe(TapSite, std::size_t, const float*, std::size_t, std::size_t) override {}
  void observe_together(Worker& worker, TapSite site, std::size_t layer, const float* data,
                        std::size_t rows, std::size_t width) override {
    const auto found = sites_.find({site, layer});
    if (found == sites_.end()) return;  // nothing reads it
    PARING_CHECK(found->second->cols() == width, "a tap has its matrix's width");
    found->second->add(worker, data, rows, site == TapSite::kHeadInput ? head_scratch_ : scratch_);
  }

  void observe_experts(Worker& worker, TapSite site, std::size_t layer,
                       const model::ExpertRows& rows) override {
    const auto found = expert_sites_.find({site, layer});
    PARING_CHECK(found != expert_sites_.end() && found->second->cols() == rows.width,
                 "a tap has its matrix's width");
    found->second->add(worker, rows);
  }

  std::vector<std::unique_ptr<InputMoments>>& moments() { return moments_; }
  // Null for matrices that are none of experts.
  const ExpertSquares* experts(std::size_t slot) const { return experts_[slot].get(); }

 private:
  explicit MomentTap(std::size_t slots) : experts_(slots), moments_(slots) {}
  std::vector<std::unique_ptr<ExpertSquares>> experts_;  // [slot], null where none
  std::map<std::pair<TapSite, std::size_t>, ExpertSquares*> expert_sites_;
  std::vector<std::unique_ptr<InputMoments>> moments_;  // [slot], null where none
  std::map<std::pair<TapSite, std::size_t>, InputMoments*> sites_;
  InputMoments::Scratch scratch_;
  InputMoments::Scratch head_scratch_;
};

Result<void> check_inputs(const Statistics& statistics, const model::Model& model) {
  for (std::size_t i = 0; i < statistics.mean_squares.size(); ++i) {
    const auto& row = statistics.mean_squares[i];
    const bool is_finite =
        std::all_of(row.begin(), row.end(), [](float v) { return std::isfinite(v); });
    const bool is_zero = std::all_of(row.begin(), row.end(), [](float v) { return v == 0; });
    if (row.empty() || (is_finite && !is_zero)) continue;
    return corrupt(fmt::format("calibration saw {} at the input of '{}'",
                               is_zero ? "only zeros" : "values that are not finite numbers",
                               model.slot(i).name),
                   "the weights before it are damaged or out of range; get the file again");
  }
  return {};
}

// Every factor is one worker's; the largest come first by turns.
void factor_all(MomentTap& tap, const StatisticsOptions& options, Executor& executor,
                ProgressSink& progress, Statistics& statistics) {
  std::vector<std::size_t> work;
  for (std::size_t i = 0; i < tap.moments().size(); ++i) {
    if (tap.moments()[i] != nullptr) work.push_back(i);
  }
  std::stable_sort(work.begin(), work.end(), [&](std::size_t a, std::size_t b) {
    return tap.moments()[a]->cols() > tap.moments()[b]->cols();
  });
  statistics.factors.resize(tap.moments().size());
  progress.begin("factors", work.size());
  // A job on the executor must not throw; running out of memory here ends the program in main.
  std::atomic<std::size_t> next{0};
  executor.run([&](Worker&) {
    for (std::size_t at = next++; at < work.size(); at = next++) {
      InputMoments& moments = *tap.moments()[work[at]];
      statistics.factors[work[at]] = std::move(moments).factor(statistics.tokens, options.damping);
      progress.advance(1);
    }
  });
  progress.end();
}

// From what the tap added up to what methods read.
Result<void> finish(MomentTap& tap, const model::Model& model, const StatisticsOptions& options,
                    Executor& executor, ProgressSink& progress, Statistics& statistics) {
  statistics.mean_squares.resize(model.matrix_count());
  statistics.expert_tokens.resize(model.matrix_count());
  statistics.factor_of.resize(model.matrix_count());
  const std::vector<std::size_t> sources = source_slots(model);
  for (std::size_t i = 0; i < model.matrix_count(); ++i) {
    const std::size_t source = sources[i];
    statistics.factor_of[i] = source == kNoSource ? i : source;
    if (source == kNoSource) continue;
    if (const ExpertSquares* experts = tap.experts(source)) {
      statistics.mean_squares[i] = experts->mean_squares();
      statistics.expert_tokens[i] = experts->tokens();
    } else {
      statistics.mean_squares[i] = tap.moments()[source]->mean_squares(statistics.tokens);
    }
  }
  PARING_TRY_VOID(check_inputs(statistics, model));
  if (options.moment_bytes_max != 0) factor_all(tap, options, executor, progress, statistics);
  return {};
}

}  // namespace

void fill_unseen_experts(std::vector<float>& mean_squares, std::size_t cols) {
  const auto is_unseen = [&](std::size_t at) {
    return std::all_of(mean_squares.begin() + static_cast<std::ptrdiff_t>(at),
                       mean_squares.begin() + static_cast<std::ptrdiff_t>(at + cols),
                       [](float value) { return value == 0; });
  };
  std::vector<std::size_t> unseen;
  double sum = 0;
  std::size_t values = 0;
  for (std::size_t at = 0; at < mean_squares.size(); at += cols) {
    if (is_unseen(at)) {
      unseen.push_back(at);
      continue;
    }
    for (std::size_t c = 0; c < cols; ++c) sum += static_cast<double>(mean_squares[at + c]);
    values += cols;
  }
  if (values == 0) return;
  const auto mean = static_cast<float>(sum / static_cast<double>(values));
  for (const std::size_t at : unseen) {
    std::fill_n(mean_squares.begin() + static_cast<std::ptrdiff_t>(at), cols, mean);
  }
}

Result<Statistics> collect_statistics(measure::Evaluator& evaluator, const model::ModelView& view,
                                      const measure::Windows& windows,
                                      const StatisticsOptions& options, ProgressSink& progress) {
  const model::Model& model = view.model();
  const std::size_t per_step = evaluator.windows_per_step(windows.context);
  PARING_TRY(const auto tap, MomentTap::create(model, per_step * windows.context, options));
  model::ForwardOptions forward;
  forward.taps = tap.get();
  Statistics statistics;
  statistics.text_name = windows.name;
  statistics.text_sha256 = windows.sha256;
  progress.begin("statistics", windows.windows.size());
  for (std::size_t first = 0; first < windows.windows.size(); first += per_step) {
    const bool is_late = system_clock().monotonic_seconds() >= options.end;
    if (is_late && first >= options.windows_min) break;
    std::vector<std::span<const std::int32_t>> inputs;
    for (std::size_t w = first; w < std::min(windows.windows.size(), first + per_step); ++w) {
      inputs.emplace_back(windows.windows[w]);
      statistics.tokens += windows.context;
    }
    // Every row reaches the head's tap; no sink, so no logits are computed.
    PARING_TRY_VOID(evaluator.run(view, inputs, windows.context, measure::kExactOptions, forward));
    progress.advance(inputs.size());
  }
  progress.end();
  PARING_TRY_VOID(
      finish(*tap, model, options, evaluator.forward().executor(), progress, statistics));
  return statistics;
}

Result<Statistics> collect_encoder_statistics(engine::TextEncoder& encoder,
                                              const model::ModelView& view,
                                              std::span<const engine::EncodedText> texts,
                                              const StatisticsOptions& options,
                                              ProgressSink& progress) {
  const model::Model& model = view.model();
  PARING_TRY(const auto tap, MomentTap::create(model, encoder.step_tokens_max(), options));
  Statistics statistics;
  for (const engine::EncodedText& text : texts) statistics.tokens += text.tokens.size();
  progress.begin("statistics", texts.size());
  encoder.run(
      view, texts, [&](std::size_t, std::span<const float>) { progress.advance(1); }, tap.get());
  progress.end();
  PARING_TRY_VOID(finish(*tap, model, options, encoder.executor(), progress, statistics));
  return statistics;
}

}  // namespace paring::shrink
