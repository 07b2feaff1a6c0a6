// SPDX-License-Identifier: Apache-2.0
// Which text each step of a search works on, and how much of it. Decided by the model's size and
// the time limit alone, so that two runs agree; a machine too slow for it reads less (time_plan.h),
// and the result says so.
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
inline constexpr const char* kBuiltinCalibrationName = "built-in calibration text";
inline constexpr const char* kBuiltinHoldoutName = "built-in held-out text";

// How many windows the search reads. They decide what is measured, so a run that goes on takes
// those of the one before it.
struct TextCounts {
  std::size_t statistics = 0;
  std::size_t candidates = 0;
};
TextCounts planned_counts(const model::BlockSpec& spec, double limit_seconds);

// `count` of the windows (or all), spread evenly, starting `phase` (0..1) of a step in.
measure::Windows spread(const measure::Windows& all, std::size_t count, double phase);
// Sets the windows of statistics and candidates.
void pick_search_texts(RunTexts& texts, const TextCounts& counts);

// All but what pick_search_texts() sets.
Result<RunTexts> cut_texts(const engine::LoadedModel& model, const OptimizeOptions& options,
                           const measure::Evaluator& evaluator);

}  // namespace paring::shrink
