// SPDX-License-Identifier: Apache-2.0
// The two threads of ModelRegistry. One loads, a model after the other, and decides who makes room
// for whom; the other looks at time: who waits too long, which model nobody asks for, and which of
// those that are to go nobody uses any more.
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/text.h"
#include "serve/model_registry.h"
#include "serve/model_slot.h"

namespace paring::serve {

namespace {

// Between looks at whether a model that others wait for is free.
constexpr std::chrono::milliseconds kRoomInterval(50);
constexpr double kUnloadInterval = 0.02;  // seconds, the same for one that is to go
constexpr double kWaiterInterval = 0.05;  // and at whose time is over
constexpr double kIdleIntervalMax = 1;
constexpr double kLongest = 3600;
// A file that could not be loaded is not read again for requests before this many seconds.
constexpr double kRetrySeconds = 5;
// While others are served, packing weights gets what they leave.
constexpr int kLoaderNice = 10;

double now_seconds() { return system_clock().monotonic_seconds(); }

std::chrono::duration<double> seconds(double count) { return std::chrono::duration<double>(count); }

}  // namespace

double ModelRegistry::idle_limit(const Slot& slot) const {
  constexpr double kNever = -1;
  if (slot.kept_seconds) return *slot.kept_seconds < 0 ? kNever : *slot.kept_seconds;
  const double limit = slot.source.idle_seconds.value_or(options_.idle_seconds);
  return limit > 0 ? limit : kNever;
}

std::uint64_t ModelRegistry::committed() const {
  std::uint64_t bytes = 0;
  for (const SlotPtr& slot : slots_) bytes += slot->bytes;
  return bytes;
}

void ModelRegistry::begin_load(const SlotPtr& slot) {
  slot->state = ModelState::kLoading;
  slot->plan.reset();
  queue_.push_back(slot);
  loader_wakes_.notify_one();
}

void ModelRegistry::begin_unload(Slot& slot, Counter& reason) {
  slot.state = ModelState::kUnloading;
  reason.add();
  keeper_wakes_.notify_one();
}

void ModelRegistry::load_loop() {
  Lock lock(mutex_);
  while (!is_stopping_) {
    if (const SlotPtr slot = next_to_load(lock)) {
      open(slot, lock);
    } else if (queue_.empty()) {
      loader_wakes_.wait(lock, [this] { return is_stopping_ || !queue_.empty(); });
    } else {
      loader_wakes_.wait_for(lock, kRoomInterval);
    }
  }
}

// The first of the queue for whom there is room; null: nobody can be loaded now.
ModelRegistry::SlotPtr ModelRegistry::next_to_load(Lock& lock) {
  std::size_t i = 0;
  while (i < queue_.size() && !is_stopping_) {
    const SlotPtr slot = queue_[i];
    const auto leave = [&] { queue_.erase(queue_.begin() + static_cast<std::ptrdiff_t>(i)); };
    if (slot->waiters.empty()) {  // nobody waits any more
      slot->state = ModelState::kUnloaded;
      leave();
      continue;
    }
    if (!slot->plan) {
      // Others came or went meanwhile: from the beginning.
      if (!make_plan(*slot, lock)) std::erase(queue_, slot);
      i = 0;
      continue;
    }
    Error why;
    const Room room = find_room(*slot, why);
    if (room == Room::kLater) {
      ++i;
      continue;
    }
    leave();
    if (room == Room::kEnough) {
      slot->bytes = slot->plan->total_bytes();
      return slot;
    }
    log_warning(why.text());
    slot->state = ModelState::kUnloaded;
    slot->problem = why;
    metrics().model_load_failures.add();
    fail(*slot, why);
  }
  return nullptr;
}

// Reads what its file says of itself. False: it cannot be loaded, and all have been told.
bool ModelRegistry::make_plan(Slot& slot, Lock& lock) {
  const ModelSource source = slot.source;
  const MemoryNow now = probe_();
  std::uint64_t idle_bytes = 0;
  for (const SlotPtr& other : slots_) {
    const bool is_idle = other->state == ModelState::kReady && !other->is_busy();
    if (is_idle) idle_bytes += other->bytes;
  }
  const std::optional<std::uint64_t> free =
      free_for_models(now, {options_.memory_budget_bytes, committed(), base_bytes_}, idle_bytes);
  lock.unlock();
  auto plan = ServedModel::plan(source.path, source.options, executor_.threads(), free);
  lock.lock();
  if (plan) {
    slot.plan = std::move(*plan);
    return true;
  }
  log_error(fmt::format("{}: {}", source.name, plan.error().text()));
  slot.state = ModelState::kUnloaded;
  slot.problem = plan.error();
  slot.retry_at = now_seconds() + kRetrySeconds;
  metrics().model_load_failures.add();
  fail(slot, plan.error());
  return false;
}

ModelRegistry::Room ModelRegistry::find_room(Slot& slot, Error& why) {
  const MemoryNow now = probe_();
  const MemoryAccount account{options_.memory_budget_bytes, committed(), base_bytes_};
  const std::uint64_t need = slot.plan->total_bytes();
  const auto loaded = static_cast<std::size_t>(std::count_if(
      slots_.begin(), slots_.end(), [](const SlotPtr& each) { return each->bytes > 0; }));
  // Those that would be gone.
  std::size_t leaving = 0;
  std::uint64_t leaving_bytes = 0;
  const auto let_go = [&](const Slot& other) {
    ++leaving;
    leaving_bytes += other.bytes;
  };
  const auto is_enough = [&] {
    const std::optional<std::uint64_t> free = free_for_models(now, account, leaving_bytes);
    return (options_.loaded_max == 0 || loaded < options_.loaded_max + leaving) &&
           (!free || need <= *free);
  };
  if (is_enough()) return Room::kEnough;
  if (std::any_of(slot.waiters.begin(), slot.waiters.end(),
                  [](const Waiter& waiter) { return waiter.wish.may_evict; })) {
    std::vector<SlotPtr> idle;
    std::vector<SlotPtr> busy;
    for (const SlotPtr& other : slots_) {
      if (other->state == ModelState::kUnloading) {
        let_go(*other);
      } else if (other->state == ModelState::kReady) {
        (other->is_busy() ? busy : idle).push_back(other);
      }
    }
    if (is_enough()) return Room::kLater;
    std::sort(idle.begin(), idle.end(),
              [](const SlotPtr& a, const SlotPtr& b) { return a->used_at < b->used_at; });
    for (std::size_t i = 0; i < idle.size(); ++i) {
      let_go(*idle[i]);
      if (!is_enough()) continue;
      for (std::size_t j = 0; j <= i; ++j) {
        log_info(fmt::format("{}: unloaded to make room for {}", idle[j]->source.name,
                             slot.source.name));
        begin_unload(*idle[j], metrics().model_unloads_memory);
      }
      return Room::kLater;
    }
    for (const SlotPtr& other : busy) let_go(*other);
    if (is_enough()) return Room::kLater;  // when their answers have ended
  }
  why = no_room(slot, now);
  return Room::kNever;
}

// The figures of a model that cannot be loaded.
Error ModelRegistry::no_room(const Slot& slot, const MemoryNow& now) const {
  const MemoryAccount account{options_.memory_budget_bytes, committed(), base_bytes_};
  const std::optional<std::uint64_t> free = free_for_models(now, account);
  const std::optional<std::uint64_t> limit = limit_for_models(now, account);
  const std::uint64_t need = slot.plan->total_bytes();
  if (!free || need <= *free) {
    return exhausted(fmt::format("the model '{}' is one too many: {} models may be in memory",
                                 slot.source.name, options_.loaded_max),
                     "unload one, or raise the limit");
  }
  return exhausted(
      fmt::format("the model '{}' needs {} of memory (weights {}, cache and buffers {}), {} are "
                  "free for models{}, other models hold {}",
                  slot.source.name, format_bytes(need), format_bytes(slot.plan->weight_bytes),
                  format_bytes(slot.plan->extra_bytes), format_bytes(*free),
                  limit ? fmt::format(" (limit {})", format_bytes(*limit)) : "",
                  format_bytes(account.committed_bytes)),
      "unload another model, give this one fewer cache or context tokens, or take a smaller one");
}

void ModelRegistry::open(const SlotPtr& slot, Lock& lock) {
  const bool has_others = std::any_of(slots_.begin(), slots_.end(), [](const SlotPtr& other) {
    return other->state == ModelState::kReady;
  });
  const std::string name = slot->source.name;
  ModelPlan plan = std::move(*slot->plan);
  slot->plan.reset();
  lock.unlock();
  const double start = now_seconds();
  if (has_others && loader_executor_ == nullptr) {
    auto alone = Executor::create({.threads = 1, .pin = false});
    if (alone) loader_executor_ = std::move(*alone);
    // Of this thread alone; where the system refuses, loading is only less polite.
    ::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), kLoaderNice);
  }
  Executor& loader = has_others && loader_executor_ != nullptr ? *loader_executor_ : executor_;
  auto model = ServedModel::open(name, std::move(plan), loader, executor_);
  const double end = now_seconds();
  lock.lock();
  slot->problem.reset();
  if (!model) {
    log_error(fmt::format("{}: {}", name, model.error().text()));
    slot->bytes = 0;
    slot->state = ModelState::kUnloaded;
    slot->problem = model.error();
    slot->retry_at = end + kRetrySeconds;
    metrics().model_load_failures.add();
    return fail(*slot, model.error());
  }
  log_info(fmt::format("{}: loaded in {:.2f} s, context {} tokens, variant {:.12}", name,
                       end - start, (*model)->context_tokens(), (*model)->variant()));
  for (const auto& adapter : (*model)->adapters()) {
    log_info(fmt::format("{}: adapter of {}, rank {}, variant {:.12}", adapter->name, name,
                         adapter->lora->rank_max(), adapter->variant));
  }
  metrics().model_loads.add();
  metrics().model_load_seconds.observe(end - start);
  slot->state = ModelState::kReady;
  slot->model = *model;
  slot->used_at = end;
  loop_.add(std::move(*model));
  for (Waiter& waiter : std::exchange(slot->waiters, {})) {
    const ModelUse use = slot->use(waiter.wish.name);
    resumer_.post([done = std::move(waiter.done), use] { done(use); });
  }
  keeper_wakes_.notify_one();
}

void ModelRegistry::keep_loop() {
  Lock lock(mutex_);
  while (!is_stopping_) {
    const double now = now_seconds();
    expire_waiters(now);
    look_at_idle(now);
    finish_unloads(lock);
    if (is_stopping_) return;
    keeper_wakes_.wait_for(lock, seconds(next_look(now)));
  }
}

double ModelRegistry::next_look(double now) const {
  double wait = kLongest;
  for (const SlotPtr& slot : slots_) {
    if (slot->state == ModelState::kUnloading) wait = std::min(wait, kUnloadInterval);
    if (!slot->waiters.empty()) wait = std::min(wait, kWaiterInterval);
    const double limit = idle_limit(*slot);
    if (slot->state != ModelState::kReady || limit < 0) continue;
    const double left = slot->used_at + limit - now;
    wait = std::min(wait, std::clamp(left, kUnloadInterval, kIdleIntervalMax));
  }
  return wait;
}

void ModelRegistry::expire_waiters(double now) {
  for (const SlotPtr& slot : slots_) {
    std::vector<Waiter> kept;
    for (Waiter& waiter : std::exchange(slot->waiters, {})) {
      const bool is_gone = waiter.wish.cancelled != nullptr && waiter.wish.cancelled->load();
      if (!is_gone && now < waiter.deadline) {
        kept.push_back(std::move(waiter));
        continue;
      }
      const bool is_own = waiter.wish.deadline > 0 && waiter.deadline >= waiter.wish.deadline;
      ApiError error{.status = is_own ? 504 : 503,
                     .code = is_own ? "timeout" : "model_not_ready",
                     .message = fmt::format("the model '{}' is not ready in time; it is {}",
                                            slot->source.name, model_state_name(slot->state)),
                     .param = "model"};
      if (!is_own) error.retry_after_seconds = 5;
      resumer_.post([done = std::move(waiter.done), error] { done(error); });
    }
    slot->waiters = std::move(kept);
  }
}

void ModelRegistry::look_at_idle(double now) {
  for (const SlotPtr& slot : slots_) {
    if (slot->state != ModelState::kReady) continue;
    if (slot->is_busy()) {
      slot->used_at = now;
      continue;
    }
    const double limit = idle_limit(*slot);
    if (limit < 0 || now - slot->used_at < limit) continue;
    log_info(fmt::format("{}: unloaded, nobody asked for {:.0f} s", slot->source.name,
                         now - slot->used_at));
    begin_unload(*slot, metrics().model_unloads_idle);
  }
}

// Lets go of those that are to go and that nobody uses: no new user can come, as they are not
// found any more.
void ModelRegistry::finish_unloads(Lock& lock) {
  const std::vector<SlotPtr> all = slots_;
  for (const SlotPtr& slot : all) {
    if (slot->state != ModelState::kUnloading || slot->is_busy()) continue;
    std::shared_ptr<ServedModel> model = std::move(slot->model);
    lock.unlock();
    loop_.remove(model);
    model.reset();  // its memory goes back here, not on the engine's thread
    lock.lock();
    log_info(fmt::format("{}: unloaded, {} are free again", slot->source.name,
                         format_bytes(slot->bytes)));
    slot->bytes = 0;
    slot->kept_seconds.reset();
    slot->state = ModelState::kUnloaded;
    for (Gone& gone : std::exchange(slot->leavers, {})) {
      resumer_.post([gone = std::move(gone)] { gone(std::nullopt); });
    }
    if (slot->is_forgotten) {
      std::erase(slots_, slot);
    } else if (!slot->waiters.empty() && !is_stopping_) {
      begin_load(slot);
    }
    loader_wakes_.notify_one();
  }
}

}  // namespace paring::serve
