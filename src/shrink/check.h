// SPDX-License-Identifier: Apache-2.0
// The judge of a written file: loads it as a user would and compares it with the original on
// held-out text, which neither calibration nor the search has seen. One thread.
#pragma once

#include <memory>
#include <string>

#include "base/executor.h"
#include "base/progress.h"
#include "base/result.h"
#include "cost/probes.h"
#include "engine/loaded_model.h"
#include "measure/bench.h"
#include "measure/compare.h"
#include "shrink/optimize.h"
#include "shrink/time_plan.h"

namespace paring::shrink {

// One model as its file is, with everything that a budget can bound.
struct CheckedFile {
  engine::LoadedModel model;
  std::uint64_t weight_bytes = 0;  // matrices and norms, as packed
  measure::Divergence served;
  measure::Divergence weights;  // exact numerics
  measure::BenchResult speed;
};

class Check {
 public:
  // All references must outlive the object.
  Check(const engine::LoadedModel& original, measure::Evaluator& evaluator, Executor& executor,
        const cost::Probes& probes, ProgressSink& progress)
      : original_(original),
        view_(*original.model),
        evaluator_(evaluator),
        executor_(executor),
        probes_(probes),
        progress_(progress) {}

  void prepare(measure::Windows holdout) { holdout_ = std::move(holdout); }
  // Internal when the file's matrices are not those of `expected`, bit for bit.
  Result<CheckedFile> load(const std::string& path, const model::ModelView& expected);
  Result<void> measure_loss(CheckedFile& file);
  // Speeds of the file and, right after, of the original; `publish_seconds` of `time` stay free.
  // True when time was short: fewer tokens or repetitions than usual were timed.
  Result<bool> measure_speed(CheckedFile& file, const TimePlan& time, double publish_seconds);

  // The original's own figures: divergence of serving it, and speed. Known after the first
  // measure_loss() and measure_speed().
  const measure::Divergence& original_served() const { return original_served_; }
  const measure::BenchResult& original_speed() const { return original_speed_; }

 private:
  const engine::LoadedModel& original_;
  model::ModelView view_;
  measure::Evaluator& evaluator_;
  Executor& executor_;
  const cost::Probes& probes_;
  ProgressSink& progress_;
  measure::Windows holdout_;
  std::unique_ptr<measure::BaseRun> base_;
  measure::Divergence original_served_;
  measure::BenchResult original_speed_;
};

// Upper end of the one-sided 95 % interval of a mean KL: what is held against a bound.
double upper_kl(const measure::Divergence& divergence);

}  // namespace paring::shrink
