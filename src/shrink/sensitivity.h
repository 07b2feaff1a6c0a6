// SPDX-License-Identifier: Apache-2.0
// How much one matrix in another type changes the model: KL to the original, all else untouched.
#pragma once

#include <vector>

#include "base/progress.h"
#include "base/result.h"
#include "measure/compare.h"
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

struct SensitivityOptions {
  DType probe = DType::kQ5_0;       // every matrix is measured in this type
  std::size_t measured_again = 24;  // most sensitive matrices, measured in every type
};

// Fills predicted_kl and is_measured of every option of `plans`; bytes and error must be there.
Result<void> measure_sensitivity(measure::Evaluator& evaluator, const measure::BaseRun& base,
                                 const engine::LoadedModel& model, const Statistics& statistics,
                                 const SensitivityOptions& options, Executor& executor,
                                 std::vector<MatrixPlan>& plans, ProgressSink& progress);

}  // namespace paring::shrink
