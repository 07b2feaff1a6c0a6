// SPDX-License-Identifier: Apache-2.0
// Masks off the critical path: the tokens that a constraint allows next are computed on a thread of
// their own while the engine computes the step whose logits they are for.
#pragma once

#include <cstddef>
#include <memory>

#include "engine/token_constraint.h"
#include "serve/task_thread.h"
#include "text/constraint.h"

namespace paring::serve {

// Thread-safe. No constraint of it may be in use when it goes.
class MaskPool {
 public:
  // A sequence's constraint from its beginning; its first mask is computed at once. `words`: of a
  // mask (text::ConstraintFactory::mask_words()).
  std::unique_ptr<engine::TokenConstraint> start(
      std::shared_ptr<const text::CompiledConstraint> compiled, std::size_t words);

 private:
  class Constrained;
  // One task at most for each sequence that runs.
  TaskThread thread_{thread_names::kMasks};
};

}  // namespace paring::serve
