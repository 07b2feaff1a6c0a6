// SPDX-License-Identifier: Apache-2.0
// Which text each step of a search works on, and how much of it. Decided by the model's size and
// the time limit alone, never by how fast the machine happened to be, so that two runs agree.
#pragma once

#include "base/result.h"
#include "engine/loaded_model.h"
#include "measure/compare.h"
#include "measure/windows.h"
#include "shrink/optimize.h"

namespace paring::shrink {

struct RunTexts {
  measure::Windows statistics;
  measure::Windows probes;  // short windows that fit one step
  measure::Windows
      candidates;            // of the evaluation's length, other ones than `statistics` begin with
  measure::Windows holdout;  // only for the last judgement
  measure::Windows calibration;  // all of the text that the first three are taken from
};

inline constexpr std::size_t kContext = 512;  // tokens a window

Result<RunTexts> cut_texts(const engine::LoadedModel& model, const OptimizeOptions& options,
                           const measure::Evaluator& evaluator);

}  // namespace paring::shrink
