// SPDX-License-Identifier: Apache-2.0
#include "serve/model_registry.h"

#include <fmt/format.h>

#include <algorithm>

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
  const auto check = [&]() -> Result<void> {
    if (std::none_of(models_.begin(), models_.end(), by_name(name))) return {};
    return invalid_argument(fmt::format("a model named '{}' is loaded already", name),
                            "unload it first, or take another name");
  };
  {
    const std::lock_guard lock(mutex_);
    PARING_TRY_VOID(check());
  }
  PARING_TRY(std::shared_ptr<ServedModel> model,
             ServedModel::open(name, path, executor_, executor_, options));
  const std::lock_guard lock(mutex_);
  PARING_TRY_VOID(check());
  models_.push_back(model);
  loop_.add(model);
  return model;
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

ApiResult<std::shared_ptr<ServedModel>> ModelRegistry::find(const std::string& name) const {
  const std::lock_guard lock(mutex_);
  if (name.empty() && !models_.empty()) return models_.front();
  const auto it = std::find_if(models_.begin(), models_.end(), by_name(name));
  if (it != models_.end()) return *it;
  std::string known;
  for (const auto& model : models_) known += (known.empty() ? "" : ", ") + model->name();
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
