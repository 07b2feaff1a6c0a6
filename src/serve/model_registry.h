// SPDX-License-Identifier: Apache-2.0
// ModelRegistry: the models that this process serves, by the names clients use. Thread-safe.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "serve/api_error.h"
#include "serve/engine_loop.h"
#include "serve/model_use.h"
#include "serve/served_model.h"

namespace paring::serve {

class ModelRegistry {
 public:
  // Both must outlive the registry.
  ModelRegistry(EngineLoop& loop, Executor& executor) : loop_(loop), executor_(executor) {}

  // Loads the file or folder `path` under `name`; the first is the default. Takes as long as
  // reading the weights; others are served meanwhile. InvalidArgument when its name or that of an
  // adapter is taken, Exhausted with the figures when memory does not suffice, and what
  // ServedModel::open() says.
  Result<std::shared_ptr<ServedModel>> load(const std::string& name, const std::string& path,
                                            const ServedModelOptions& options);
  // Takes the name away at once, and frees the model when what it computes now is done. NotFound.
  Result<void> unload(const std::string& name);

  // What a request names, a model or an adapter of one: "" is the default. 404 "model_not_found"
  // with the names there are.
  ApiResult<ModelUse> find(const std::string& name) const;
  // In the order they were loaded.
  std::vector<std::shared_ptr<ServedModel>> list() const;

 private:
  Result<void> check_names(const std::string& name, const ServedModelOptions& options) const;

  EngineLoop& loop_;
  Executor& executor_;
  mutable std::mutex mutex_;
  std::vector<std::shared_ptr<ServedModel>> models_;  // guarded by mutex_
};

}  // namespace paring::serve
