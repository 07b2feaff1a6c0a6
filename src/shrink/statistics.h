// SPDX-License-Identifier: Apache-2.0
// Statistics of a model's activations over calibration text, collected in one pass: for every
// matrix the mean square of each input column (llama.cpp calls it the importance matrix).
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/executor.h"
#include "base/progress.h"
#include "base/result.h"
#include "measure/compare.h"
#include "measure/windows.h"
#include "model/weights.h"

namespace paring::shrink {

struct Statistics {
  std::string text_name;
  std::string text_sha256;
  std::size_t tokens = 0;
  // [slot][cols]; the embedding's row is that of the head when tied, and empty when it is not.
  std::vector<std::vector<float>> mean_squares;

  std::span<const float> importance(std::size_t slot) const { return mean_squares[slot]; }
};

// Exact numerics. Internal when a matrix saw only zeros: calibration did not run.
Result<Statistics> collect_statistics(measure::Evaluator& evaluator, const model::ModelView& view,
                                      const measure::Windows& windows, ProgressSink& progress);

}  // namespace paring::shrink
