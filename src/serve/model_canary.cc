// SPDX-License-Identifier: Apache-2.0
// The part of ModelRegistry that has two of a model: as it is, and as it may become.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/text.h"
#include "serve/model_registry.h"
#include "serve/model_slot.h"

namespace paring::serve {

namespace {

bool comes_or_goes(ModelState state) {
  return state == ModelState::kLoading || state == ModelState::kUnloading;
}

bool has_same_adapters(const ModelSource& a, const ModelSource& b) {
  return std::ranges::equal(a.options.adapters, b.options.adapters, {}, &AdapterSource::name,
                            &AdapterSource::name);
}

}  // namespace

ModelRegistry::SlotPtr ModelRegistry::canary_of(const std::string& name) const {
  const SlotPtr base = find(name);
  if (base == nullptr) return nullptr;
  const auto it = std::find_if(slots_.begin(), slots_.end(), [&](const SlotPtr& slot) {
    return slot->is_canary && !slot->is_forgotten && slot->source.name == base->source.name;
  });
  return it == slots_.end() ? nullptr : *it;
}

Result<void> ModelRegistry::add_canary(const ModelSource& source) {
  const std::lock_guard lock(mutex_);
  const SlotPtr base = find(source.name);
  if (base == nullptr || base->source.name != source.name) {
    return not_found(fmt::format("no model is named '{}'", escape_control(source.name)));
  }
  if (canary_of(source.name) != nullptr) {
    return invalid_argument(fmt::format("the model '{}' has a canary already", source.name),
                            "stop it first, or wait for its end");
  }
  if (!has_same_adapters(base->source, source)) {
    return invalid_argument("a canary has the adapters of its model");
  }
  auto slot = std::make_shared<Slot>();
  slot->source = source;
  slot->is_canary = true;
  slot->kept_seconds = -1;  // for ever: who put it there takes it away
  slots_.push_back(std::move(slot));
  return {};
}

std::optional<ModelUse> ModelRegistry::find_canary(const std::string& asked) {
  const std::lock_guard lock(mutex_);
  const std::string name = resolved(asked);
  const SlotPtr slot = canary_of(name);
  if (slot == nullptr || slot->state != ModelState::kReady) return std::nullopt;
  slot->used_at = system_clock().monotonic_seconds();
  find(name)->used_at = slot->used_at;
  return slot->use(name);
}

ApiResult<ModelStatus> ModelRegistry::canary_status(const std::string& name) const {
  const std::lock_guard lock(mutex_);
  if (const SlotPtr slot = canary_of(name)) return status_of(*slot);
  return unknown(name);
}

Result<void> ModelRegistry::keep_canary(const std::string& name) {
  const std::lock_guard lock(mutex_);
  const SlotPtr base = find(name);
  const SlotPtr canary = canary_of(name);
  if (canary == nullptr || canary->state == ModelState::kUnloaded) {
    return not_found(fmt::format("the model '{}' has no canary in memory", escape_control(name)));
  }
  if (comes_or_goes(base->state) || comes_or_goes(canary->state)) {
    return Error{ErrorCode::kUnavailable,
                 fmt::format("the model '{}' is being loaded or unloaded", name), "try again then"};
  }
  base->source.path = canary->source.path;
  base->source.options = canary->source.options;
  base->problem.reset();
  base->retry_at = 0;
  base->used_at = system_clock().monotonic_seconds();
  std::swap(base->model, canary->model);
  std::swap(base->bytes, canary->bytes);
  std::swap(base->state, canary->state);
  canary->is_forgotten = true;
  log_info(fmt::format("{}: served as its canary was from now on", base->source.name));
  if (canary->state == ModelState::kReady) {
    begin_unload(*canary, metrics().model_unloads_asked);
  } else {
    std::erase(slots_, canary);
  }
  return {};
}

void ModelRegistry::drop_canary(const std::string& name) {
  const std::lock_guard lock(mutex_);
  const auto it = std::find_if(slots_.begin(), slots_.end(), [&](const SlotPtr& slot) {
    return slot->is_canary && !slot->is_forgotten && slot->source.name == name;
  });
  if (it == slots_.end()) return;
  const SlotPtr canary = *it;
  canary->is_forgotten = true;
  end_waiters(*canary, [&](const Waiter&) { return unknown(name); });
  if (canary->state == ModelState::kReady) {
    begin_unload(*canary, metrics().model_unloads_asked);
  } else if (canary->state == ModelState::kUnloaded) {
    std::erase(slots_, canary);
  }
}

}  // namespace paring::serve
