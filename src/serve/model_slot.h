// SPDX-License-Identifier: Apache-2.0
// What ModelRegistry keeps of a model. Private to it: guarded by its mutex.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "serve/model_registry.h"

namespace paring::serve {

struct ModelRegistry::Waiter {
  ModelWish wish;
  double deadline = 0;  // monotonic, its own or that of load_wait_seconds
  Done done;
};

struct ModelRegistry::Slot {
  ModelSource source;
  ModelState state = ModelState::kUnloaded;
  bool is_forgotten = false;  // it is being unloaded, and its name means nothing any more
  bool is_canary = false;     // of the model of its name: no request finds it by that
  std::shared_ptr<ServedModel> model;
  std::optional<ModelPlan> plan;       // of what is to be loaded
  std::uint64_t bytes = 0;             // promised to it
  double used_at = 0;                  // monotonic
  std::optional<double> kept_seconds;  // set_idle()
  std::optional<Error> problem;        // of the last time it was loaded
  double retry_at = 0;                 // monotonic: until then a request gets that again
  std::vector<Waiter> waiters;
  std::vector<Gone> leavers;

  // REQUIRES: it is ready, and `name` is one of those in `source`.
  ModelUse use(const std::string& name) const {
    for (const auto& adapter : model->adapters()) {
      if (adapter->name == name) return {model, adapter};
    }
    return {model};
  }
  // The loop has one and so has this: more are somebody's who computes with it.
  bool is_busy() const noexcept { return model.use_count() > 2; }
};

}  // namespace paring::serve
