// SPDX-License-Identifier: Apache-2.0
// What others ask of the registry; the threads behind it are in model_loading.cc.
#include "serve/model_registry.h"

#include <fmt/format.h>

#include <algorithm>
#include <future>
#include <limits>
#include <set>
#include <utility>

#include "base/clock.h"
#include "base/metrics.h"
#include "base/text.h"
#include "serve/model_slot.h"

namespace paring::serve {

namespace {

constexpr std::size_t kNameBytesMax = 256;
constexpr std::size_t kShownMax = 100;

double now_seconds() { return system_clock().monotonic_seconds(); }

ApiError not_ready(std::string message, double retry_seconds) {
  return {.status = 503,
          .code = "model_not_ready",
          .message = std::move(message),
          .param = "model",
          .retry_after_seconds = retry_seconds};
}

ApiError is_stopped() { return not_ready("the server is shutting down; try again later", 5); }

Result<void> check_name(const std::string& name) {
  const bool is_plain = std::none_of(name.begin(), name.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
  });
  if (!name.empty() && name.size() <= kNameBytesMax && is_plain) return {};
  return invalid_argument(
      fmt::format("'{}' is no name for a model", escape_control(name.substr(0, kShownMax))),
      fmt::format("a name has 1 to {} bytes and no control characters", kNameBytesMax));
}

std::vector<std::string> names_of(const ModelSource& source) {
  std::vector<std::string> names = {source.name};
  for (const AdapterSource& adapter : source.options.adapters) names.push_back(adapter.name);
  return names;
}

}  // namespace

const char* model_state_name(ModelState state) noexcept {
  switch (state) {
    case ModelState::kUnloaded:
      return "unloaded";
    case ModelState::kLoading:
      return "loading";
    case ModelState::kReady:
      return "ready";
    case ModelState::kUnloading:
      break;
  }
  return "unloading";
}

ModelRegistry::ModelRegistry(EngineLoop& loop, Executor& executor, const RegistryOptions& options,
                             MemoryProbe probe)
    : loop_(loop),
      executor_(executor),
      probe_(std::move(probe)),
      base_bytes_(probe_().resident_bytes),
      options_(options) {
  loader_ = Thread(thread_names::kLoader, [this] { load_loop(); });
  keeper_ = Thread(thread_names::kKeeper, [this] { keep_loop(); });
}

ModelRegistry::~ModelRegistry() {
  stop();
  loader_.join();
  keeper_.join();
}

void ModelRegistry::stop() {
  const std::lock_guard lock(mutex_);
  is_stopping_ = true;
  for (const SlotPtr& slot : slots_) {
    end_waiters(*slot, [](const Waiter&) { return is_stopped(); });
    for (Gone& gone : slot->leavers) {
      resumer_.post([gone = std::move(gone)] { gone(is_stopped()); });
    }
    slot->leavers.clear();
  }
  loader_wakes_.notify_all();
  keeper_wakes_.notify_all();
}

void ModelRegistry::set_options(const RegistryOptions& options) {
  const std::lock_guard lock(mutex_);
  options_ = options;
  loader_wakes_.notify_all();
  keeper_wakes_.notify_all();
}

// Each name means one thing.
Result<void> ModelRegistry::check_names(const ModelSource& source) const {
  std::set<std::string> taken;
  for (const SlotPtr& slot : slots_) {
    if (slot->is_forgotten || slot->is_canary || slot->source.name == source.name) continue;
    for (std::string& name : names_of(slot->source)) taken.insert(std::move(name));
  }
  for (const std::string& name : names_of(source)) {
    PARING_TRY_VOID(check_name(name));
    if (taken.insert(name).second) continue;
    return invalid_argument(
        fmt::format("a model or adapter is named '{}' already", escape_control(name)),
        "unload it first, or take another name");
  }
  return {};
}

Result<void> ModelRegistry::add(const ModelSource& source) {
  const std::lock_guard lock(mutex_);
  if (find(source.name) != nullptr) {
    return invalid_argument(
        fmt::format("a model or adapter is named '{}' already", escape_control(source.name)),
        "unload it first, or take another name");
  }
  PARING_TRY_VOID(check_names(source));
  auto slot = std::make_shared<Slot>();
  slot->source = source;
  slots_.push_back(std::move(slot));
  return {};
}

Result<void> ModelRegistry::change(const ModelSource& source) {
  const std::lock_guard lock(mutex_);
  const SlotPtr slot = find(source.name);
  if (slot == nullptr || slot->source.name != source.name) {
    return not_found(fmt::format("no model is named '{}'", escape_control(source.name)));
  }
  PARING_TRY_VOID(check_names(source));
  if (slot->state == ModelState::kLoading) {
    return Error{ErrorCode::kUnavailable,
                 fmt::format("the model '{}' is being loaded", source.name), "try again then"};
  }
  slot->source = source;
  slot->retry_at = 0;
  if (slot->state == ModelState::kReady) begin_unload(*slot, metrics().model_unloads_asked);
  return {};
}

Result<void> ModelRegistry::load(const std::string& name) {
  std::promise<bool> is_there;
  const ModelWish wish{.name = name,
                       .deadline = std::numeric_limits<double>::infinity(),
                       .is_operators = true,
                       .may_evict = false};
  acquire(wish, [&](const ApiResult<ModelUse>& use) { is_there.set_value(bool(use)); });
  if (is_there.get_future().get()) return {};
  const std::lock_guard lock(mutex_);
  const SlotPtr slot = find(name);
  if (slot == nullptr) return not_found(fmt::format("no model is named '{}'", name));
  if (slot->problem) return *slot->problem;
  return Error{ErrorCode::kCancelled, "the server is shutting down", ""};
}

ModelRegistry::SlotPtr ModelRegistry::find(const std::string& name) const {
  for (const SlotPtr& slot : slots_) {
    if (slot->is_forgotten || slot->is_canary) continue;
    if (name.empty()) return slot;
    const std::vector<std::string> names = names_of(slot->source);
    if (std::find(names.begin(), names.end(), name) != names.end()) return slot;
  }
  return nullptr;
}

std::string ModelRegistry::resolved(const std::string& name) const {
  constexpr std::string_view kLatest = ":latest";
  if (!name.ends_with(kLatest) || find(name) != nullptr) return name;
  return name.substr(0, name.size() - kLatest.size());
}

std::string ModelRegistry::known_name(const std::string& name) const {
  const std::lock_guard lock(mutex_);
  return resolved(name);
}

std::string ModelRegistry::known_names() const {
  std::string known;
  for (const SlotPtr& slot : slots_) {
    if (slot->is_forgotten || slot->is_canary) continue;
    for (const std::string& name : names_of(slot->source)) {
      known += (known.empty() ? "" : ", ") + name;
    }
  }
  return known.empty() ? "none" : known;
}

std::optional<ModelUse> ModelRegistry::find_ready(const std::string& asked) {
  const std::lock_guard lock(mutex_);
  const std::string name = resolved(asked);
  const SlotPtr slot = find(name);
  if (slot == nullptr || slot->state != ModelState::kReady) return std::nullopt;
  slot->used_at = now_seconds();
  return slot->use(name);
}

ApiResult<ModelStatus> ModelRegistry::status(const std::string& name) const {
  const std::lock_guard lock(mutex_);
  if (const SlotPtr slot = find(resolved(name))) return status_of(*slot);
  return unknown(name);
}

ApiError ModelRegistry::unknown(const std::string& name) const {
  return {.status = 404,
          .code = "model_not_found",
          .message = fmt::format("there is no model '{}'; known: {}",
                                 escape_control(name.substr(0, kShownMax)), known_names()),
          .param = "model"};
}

void ModelRegistry::acquire(const ModelWish& asked, Done done) {
  Lock lock(mutex_);
  ModelWish wish = asked;
  wish.name = resolved(asked.name);
  const double now = now_seconds();
  const auto refuse = [&](const ApiError& error) {
    lock.unlock();
    done(error);
  };
  const SlotPtr slot = wish.is_canary ? canary_of(wish.name) : find(wish.name);
  if (slot == nullptr) return refuse(unknown(wish.name));
  if (slot->state == ModelState::kReady) {
    slot->used_at = now;
    const ModelUse use = slot->use(wish.name);
    lock.unlock();
    return done(use);
  }
  if (is_stopping_) return refuse(is_stopped());
  if (waiting() >= options_.waiting_max) {
    metrics().rejections.add();
    return refuse(not_ready(
        fmt::format("{} requests wait for models, that is the limit; try again later", waiting()),
        1));
  }
  Waiter waiter{wish, now + options_.load_wait_seconds, std::move(done)};
  if (wish.deadline > 0 && (wish.deadline < waiter.deadline || wish.is_operators)) {
    waiter.deadline = wish.deadline;
  }
  slot->waiters.push_back(std::move(waiter));
  if (slot->state == ModelState::kUnloaded) {
    if (slot->problem && now < slot->retry_at && !wish.is_operators) {
      return fail(*slot, *slot->problem);
    }
    begin_load(slot);
  }
  keeper_wakes_.notify_one();
}

std::optional<ApiError> ModelRegistry::unload(const std::string& name, bool forgets, Gone gone) {
  Lock lock(mutex_);
  const SlotPtr slot = find(name);
  if (slot == nullptr || slot->source.name != name) return unknown(name);
  if (slot->state == ModelState::kLoading) {
    return ApiError{.status = 409,
                    .code = "model_loading",
                    .message = fmt::format("'{}' is being loaded; unload it then", name),
                    .param = "model"};
  }
  if (forgets) {
    slot->is_forgotten = true;
    end_waiters(*slot, [&](const Waiter&) { return unknown(name); });
  }
  if (slot->state == ModelState::kUnloaded) {
    if (forgets) std::erase(slots_, slot);
    lock.unlock();
    gone(std::nullopt);
    return std::nullopt;
  }
  if (slot->state == ModelState::kReady) begin_unload(*slot, metrics().model_unloads_asked);
  slot->leavers.push_back(std::move(gone));
  keeper_wakes_.notify_one();
  return std::nullopt;
}

bool ModelRegistry::set_idle(const std::string& name, std::optional<double> seconds) {
  const std::lock_guard lock(mutex_);
  const SlotPtr slot = find(resolved(name));
  if (slot == nullptr) return false;
  slot->kept_seconds = seconds;
  keeper_wakes_.notify_one();
  return true;
}

ModelStatus ModelRegistry::status_of(const Slot& slot) const {
  return {.source = slot.source,
          .state = slot.state,
          .model = slot.state == ModelState::kReady ? slot.model : nullptr,
          .memory_bytes = slot.bytes,
          .used_at = slot.used_at,
          .idle_seconds = std::max(0.0, idle_limit(slot)),
          .waiting = slot.waiters.size(),
          .problem = slot.problem ? slot.problem->text() : ""};
}

std::vector<ModelStatus> ModelRegistry::list() const {
  const std::lock_guard lock(mutex_);
  std::vector<ModelStatus> all;
  for (const SlotPtr& slot : slots_) {
    if (!slot->is_canary) all.push_back(status_of(*slot));
  }
  return all;
}

std::vector<std::shared_ptr<StepRecorder>> ModelRegistry::step_recorders() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<StepRecorder>> all;
  for (const SlotPtr& slot : slots_) {
    if (slot->model != nullptr && slot->model->step_recorder() != nullptr) {
      all.push_back(slot->model->step_recorder());
    }
  }
  return all;
}

std::size_t ModelRegistry::waiting() const {
  std::size_t count = 0;
  for (const SlotPtr& slot : slots_) count += slot->waiters.size();
  return count;
}

void ModelRegistry::end_waiters(Slot& slot, const std::function<ApiError(const Waiter&)>& error) {
  for (Waiter& waiter : std::exchange(slot.waiters, {})) {
    resumer_.post([done = std::move(waiter.done), why = error(waiter)] { done(why); });
  }
}

// Ends those who wait with what is wrong with the file, as far as it is theirs to know.
void ModelRegistry::fail(Slot& slot, const Error& error) {
  end_waiters(slot, [&](const Waiter& waiter) -> ApiError {
    if (error.code == ErrorCode::kExhausted) {
      return {.status = 503,
              .code = "insufficient_memory",
              .message = error.hint.empty() ? error.message : error.message + "; " + error.hint,
              .param = "model",
              .retry_after_seconds = 5};
    }
    return {.status = waiter.wish.is_operators ? 400 : 500,
            .code = "model_load_failed",
            .message = waiter.wish.is_operators
                           ? error.text()
                           : fmt::format("the model '{}' cannot be loaded; the server's log says "
                                         "why",
                                         slot.source.name),
            .param = "model"};
  });
}

}  // namespace paring::serve
