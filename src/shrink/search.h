// SPDX-License-Identifier: Apache-2.0
// The search behind `paring optimize`: from a loaded original to one set of types that keeps to the
// budget. Everything it measures, it measures on calibration text; held-out text is not its
// business.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/executor.h"
#include "base/progress.h"
#include "base/result.h"
#include "engine/loaded_model.h"
#include "measure/compare.h"
#include "shrink/optimize.h"
#include "shrink/quantize.h"
#include "shrink/statistics.h"

namespace paring::shrink {

// A model whose matrices were replaced by encoded ones; owns the replacements.
struct EncodedModel {
  explicit EncodedModel(const model::Model& model) : view(model) {}
  std::vector<std::unique_ptr<kernels::PackedMatrix>> matrices;
  model::ModelView view;
  std::string weights_sha256;
};

struct SearchOptions {
  std::vector<DType> types;        // that a matrix may take beside its original one
  double decode_seconds = 0;       // measured, of one token of the original
  std::uint64_t fixed_bytes = 0;   // of the output file beside the matrices
  std::uint64_t fixed_memory = 0;  // cache and buffers beside the weights
};

class Search {
 public:
  Search(const engine::LoadedModel& original, Executor& executor, measure::Evaluator& evaluator,
         ProgressSink& progress)
      : original_(original),
        executor_(executor),
        evaluator_(evaluator),
        progress_(progress),
        view_(*original.model) {}

  // The steps, in this order. InvalidArgument or Exhausted, with figures, when no set of types
  // keeps to the budget.
  // `probes`: short windows of the same text, for the sensitivity.
  Result<void> collect(const measure::Windows& calibration, const measure::Windows& probes);
  Result<void> plan(const SearchOptions& options);
  Result<void> measure_losses();
  Result<void> find(const Budget& budget,
                    const std::function<Result<double>(const model::ModelView&)>& decode_seconds);

  const Statistics& statistics() const { return statistics_; }
  std::vector<MatrixPlan>& plans() { return plans_; }
  std::vector<Candidate>& candidates() { return candidates_; }
  const Candidate& winner() const { return candidates_[winner_]; }
  TypeMap winner_types() const;
  // Encodes every matrix as `types` (by plan) say.
  Result<std::unique_ptr<EncodedModel>> encode(const std::vector<DType>& types);

 private:
  std::uint64_t matrix_bytes_limit(const Budget& budget) const;
  Result<std::size_t> add_candidate(std::string name, std::vector<DType> types);
  Result<void> add_uniform_candidates(std::uint64_t limit);
  Result<void> correct_by_kind(const Candidate& measured);
  Result<std::vector<DType>> allocate_types(std::uint64_t bytes, double seconds) const;
  Result<void> meet_kl(const Budget& budget, std::uint64_t limit);
  Result<void> meet_speed(const Budget& budget, std::uint64_t limit,
                          const std::function<Result<double>(const model::ModelView&)>& decode);
  double predicted_kl(const std::vector<DType>& types) const;
  std::uint64_t bytes_of(const std::vector<DType>& types) const;

  const engine::LoadedModel& original_;
  Executor& executor_;
  measure::Evaluator& evaluator_;
  ProgressSink& progress_;
  model::ModelView view_;
  SearchOptions options_;
  Statistics statistics_;
  measure::Windows probe_windows_;      // sensitivity
  measure::Windows candidate_windows_;  // whole candidates
  std::unique_ptr<measure::BaseRun> candidate_base_;
  std::vector<MatrixPlan> plans_;
  std::vector<Candidate> candidates_;
  std::size_t winner_ = 0;
};

}  // namespace paring::shrink
