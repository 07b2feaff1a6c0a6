// SPDX-License-Identifier: Apache-2.0
// Masks off the critical path: the tokens that a constraint allows next are computed on a thread of
// their own while the engine computes the step whose logits they are for.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "engine/token_constraint.h"
#include "text/constraint.h"

namespace paring::serve {

// Thread-safe.
class MaskPool {
 public:
  MaskPool();
  // Ends after the mask that is being computed. No constraint of it may be in use.
  ~MaskPool();
  MaskPool(const MaskPool&) = delete;
  MaskPool& operator=(const MaskPool&) = delete;

  // A sequence's constraint from its beginning; its first mask is computed at once. `words`: of a
  // mask (text::ConstraintFactory::mask_words()).
  std::unique_ptr<engine::TokenConstraint> start(
      std::shared_ptr<const text::CompiledConstraint> compiled, std::size_t words);

 private:
  class Constrained;
  void post(std::function<void()> task);
  void run();

  std::mutex mutex_;
  std::condition_variable wakes_;
  std::deque<std::function<void()>> tasks_;  // one at most for each sequence that runs
  bool is_stopping_ = false;
  std::thread thread_;
};

}  // namespace paring::serve
