// SPDX-License-Identifier: Apache-2.0
// StepRecorder: what the steps of a model took since somebody last asked, and what it is computed
// with. Outlives its model. Thread-safe.
#pragma once

#include <mutex>
#include <string>
#include <utility>

#include "engine/step_sums.h"

namespace paring::serve {

class StepRecorder {
 public:
  // `facts`: a JSON object. `loaded_s`: since 1970.
  StepRecorder(std::string of_model, std::string of_variant, std::string with_facts, double at_s)
      : model(std::move(of_model)),
        variant(std::move(of_variant)),
        facts(std::move(with_facts)),
        loaded_s(at_s) {}

  void add(const engine::StepShape& shape, double seconds) {
    const std::lock_guard lock(mutex_);
    times_.add(shape, seconds);
  }
  // What came since the last call.
  engine::StepSums take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(times_, {});
  }

  const std::string model;
  const std::string variant;
  const std::string facts;
  const double loaded_s;

 private:
  std::mutex mutex_;
  engine::StepSums times_;  // guarded by mutex_
};

}  // namespace paring::serve
