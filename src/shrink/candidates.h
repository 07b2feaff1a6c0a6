// SPDX-License-Identifier: Apache-2.0
// Sets of types as whole models: encodes them, keeps the encodings that the next set is likely to
// share, and measures their KL to the original on search text. One thread.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "base/executor.h"
#include "base/progress.h"
#include "base/result.h"
#include "engine/loaded_model.h"
#include "measure/compare.h"
#include "shrink/journal.h"
#include "shrink/optimize.h"
#include "shrink/plans.h"
#include "shrink/statistics.h"

namespace paring::shrink {

// Everything that decides the bytes of a result.
struct Recipe {
  TypeList types;  // by plan
  Rounding rounding = Rounding::kFeedback;
  bool with_importance = true;
  bool operator==(const Recipe&) const = default;
};

// A model whose matrices were replaced by encoded ones; shares ownership of the replacements.
struct EncodedModel {
  explicit EncodedModel(const model::Model& model) : view(model) {}
  std::vector<std::shared_ptr<const kernels::PackedMatrix>> matrices;  // by slot; null: unchanged
  model::ModelView view;
  double changed_share = 0;  // bytes that error feedback changed, of those that were re-encoded
};

class Candidates {
 public:
  // All references must outlive the object.
  Candidates(const engine::LoadedModel& original, const Statistics& statistics,
             measure::Evaluator& evaluator, Executor& executor, Journal& journal,
             ProgressSink& progress)
      : original_(original),
        statistics_(statistics),
        evaluator_(evaluator),
        executor_(executor),
        journal_(journal),
        progress_(progress) {}

  // Must come first: the text that candidates are measured on.
  void prepare(const measure::Windows& windows) { windows_ = windows; }

  Result<std::shared_ptr<EncodedModel>> encode(const std::vector<MatrixPlan>& plans,
                                               const Recipe& recipe, ProgressSink& progress);
  // KL in exact numerics: mean and standard error. `label` is what its progress is called.
  Result<std::vector<double>> measure(const std::vector<MatrixPlan>& plans, const Recipe& recipe,
                                      const std::string& label);
  // Seconds of the last measurement that was not recalled; 0 when there was none.
  double last_seconds() const { return last_seconds_; }
  // Of that, a model's pass over one window.
  double window_seconds() const { return window_seconds_; }

 private:
  using Key = std::tuple<std::size_t, DType, Rounding, bool>;
  struct Kept {
    std::shared_ptr<const kernels::PackedMatrix> matrix;
    double changed_share = 0;
    std::uint64_t last_use = 0;
  };
  Result<const Kept*> matrix_of(const MatrixPlan& plan, DType type, const Recipe& recipe);
  void forget_old();

  const engine::LoadedModel& original_;
  const Statistics& statistics_;
  measure::Evaluator& evaluator_;
  Executor& executor_;
  Journal& journal_;
  ProgressSink& progress_;
  measure::Windows windows_;
  std::unique_ptr<model::ModelView> view_;
  std::unique_ptr<measure::BaseRun> base_;  // made at the first measurement
  std::map<Key, Kept> kept_;
  std::uint64_t uses_ = 0;
  double last_seconds_ = 0;
  double window_seconds_ = 0;
};

}  // namespace paring::shrink
