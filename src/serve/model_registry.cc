// SPDX-License-Identifier: Apache-2.0
#include "serve/model_registry.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/text.h"

namespace paring::serve {

namespace {

auto by_name(const std::string& name) {
  return [&name](const std::shared_ptr<ServedModel>& model) { return model->name() == name; };
}

}  // namespace

Result<std::shared_ptr<ServedModel>> ModelRegistry::load(const std::string& name,
                                                         const std::string& path,
                                                         const ServedModelOptions& options) {
  {
    const std::lock_guard lock(mutex_);
    PARING_TRY_VOID(check_names(name, options));
  }
  PARING_TRY(std::shared_ptr<ServedModel> model,
             ServedModel::open(name, path, executor_, executor_, options));
  const std::lock_guard lock(mutex_);
  PARING_TRY_VOID(check_names(name, options));
  models_.push_back(model);
  loop_.add(model);
  return model;
}

// Each name means one thing.
Result<void> ModelRegistry::check_names(const std::string& name,
                                        const ServedModelOptions& options) const {
  std::set<std::string> taken;
  for (const auto& model : models_) {
    taken.insert(model->name());
    for (const auto& adapter : model->adapters()) taken.insert(adapter->name);
  }
  std::vector<std::string> names = {name};
  for (const AdapterSource& adapter : options.adapters) names.push_back(adapter.name);
  for (const std::string& each : names) {
    if (taken.insert(each).second) continue;
    return invalid_argument(
        fmt::format("a model or adapter named '{}' is served already", escape_control(each)),
        "unload it first, or take another name");
  }
  return {};
}

Result<void> ModelRegistry::unload(const std::string& name) {
  const std::lock_guard lock(mutex_);
  const auto it = std::find_if(models_.begin(), models_.end(), by_name(name));
  if (it == models_.end()) {
    return not_found(fmt::format("no model is named '{}'", escape_control(name)));
  }
  loop_.retire(*it);
  models_.erase(it);
  return {};
}

ApiResult<ModelUse> ModelRegistry::find(const std::string& name) const {
  const std::lock_guard lock(mutex_);
  if (name.empty() && !models_.empty()) return ModelUse{models_.front()};
  std::string known;
  const auto is_it = [&](const std::string& each) {
    known += (known.empty() ? "" : ", ") + each;
    return each == name;
  };
  for (const auto& model : models_) {
    if (is_it(model->name())) return ModelUse{model};
    for (const auto& adapter : model->adapters()) {
      if (is_it(adapter->name)) return ModelUse{model, adapter};
    }
  }
  constexpr std::size_t kShownMax = 100;
  return ApiError{.status = 404,
                  .code = "model_not_found",
                  .message = fmt::format("there is no model '{}'; loaded: {}",
                                         escape_control(name.substr(0, kShownMax)), known),
                  .param = "model"};
}

std::vector<std::shared_ptr<ServedModel>> ModelRegistry::list() const {
  const std::lock_guard lock(mutex_);
  return models_;
}

}  // namespace paring::serve
