// SPDX-License-Identifier: Apache-2.0
// How much one matrix in another type changes the model: KL to the original, all else untouched,
// for each unit of squared error that its encoding makes. KL is quadratic in a small change of the
// weights, as the error is, so one measurement a matrix prices all its types.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "base/progress.h"
#include "base/result.h"
#include "measure/compare.h"
#include "shrink/journal.h"
#include "shrink/optimize.h"
#include "shrink/statistics.h"

namespace paring::shrink {

// Residual streams entering each layer, for the windows of a base run, which must fit one step:
// where a changed layer's recomputation starts. layers * tokens * D floats.
class LayerInputs {
 public:
  static Result<LayerInputs> create(measure::Evaluator& evaluator, const measure::BaseRun& base);
  const float* at(std::size_t layer) const { return data_.data() + layer * layer_floats_; }

 private:
  std::size_t layer_floats_ = 0;
  std::vector<float> data_;
};

// Mean KL over base's windows with matrix `slot` replaced by `matrix`, exact numerics.
Result<double> matrix_kl(measure::Evaluator& evaluator, const measure::BaseRun& base,
                         const LayerInputs& inputs, std::size_t slot,
                         const kernels::PackedMatrix& matrix);

class Sensitivity {
 public:
  // All references must outlive the object.
  Sensitivity(measure::Evaluator& evaluator, const engine::LoadedModel& original,
              const Statistics& statistics, Executor& executor, Journal& journal,
              ProgressSink& progress)
      : evaluator_(evaluator),
        original_(original),
        statistics_(statistics),
        executor_(executor),
        journal_(journal),
        progress_(progress) {}

  // Must come first. `windows` must fit one step.
  Result<void> prepare(const measure::Windows& windows);
  // Measures the smallest type of a matrix; sets its kl_per_error. One without a lossy type costs
  // nothing and counts as measured.
  Result<void> measure(MatrixPlan& plan);
  // Whether measure() takes no time: the journal holds it, or there is nothing to measure.
  bool is_known(const MatrixPlan& plan) const;

 private:
  Result<double> probe(const MatrixPlan& plan, const TypeOption& option, double& error);
  measure::Evaluator& evaluator_;
  const engine::LoadedModel& original_;
  const Statistics& statistics_;
  Executor& executor_;
  Journal& journal_;
  ProgressSink& progress_;
  measure::Windows windows_;
  // Made at the first measurement that is not in the journal.
  std::unique_ptr<model::ModelView> view_;
  std::unique_ptr<measure::BaseRun> base_;
  LayerInputs inputs_;
};

// Plans in the order in which they are worth measuring: embedding and head, then all matrices of a
// layer, first and last layer first, then those that halve the gaps.
std::vector<std::size_t> probe_order(const model::Model& model, std::span<const MatrixPlan> plans);

// kl_per_error of plans that were not measured, from the measured layers next to them (same kind,
// geometric interpolation, relative to the matrix's energy), and predicted_kl of every option.
void price_options(const model::Model& model, std::vector<MatrixPlan>& plans);

}  // namespace paring::shrink
