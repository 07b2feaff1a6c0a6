// SPDX-License-Identifier: Apache-2.0
// ModelRegistry: the models that this process serves, by the names clients use. They are loaded
// when somebody asks for them and unloaded when nobody has for a while, when an operator says so,
// or when another one needs their memory. Thread-safe.
//
// unloaded -> loading -> ready -> unloading -> unloaded. A model is loaded once however many ask;
// they wait, each until its deadline. Nothing that is being computed is ever cut short: a model
// that is unloaded takes no more requests, and goes when its last one has ended. One that is asked
// for meanwhile is loaded again. docs/adr/0036-models-come-and-go.md.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/metrics.h"
#include "base/thread.h"
#include "serve/api_error.h"
#include "serve/engine_loop.h"
#include "serve/model_memory.h"
#include "serve/model_source.h"
#include "serve/model_use.h"
#include "serve/task_thread.h"

namespace paring::serve {

struct RegistryOptions {
  std::uint64_t memory_budget_bytes = 0;  // of all models together; 0: what the machine leaves
  std::size_t loaded_max = 0;             // models in memory at a time; 0: no bound
  double idle_seconds = 0;                // see ModelSource::idle_seconds; 0: never
  double load_wait_seconds = 120;         // that a request waits for its model at most
  std::size_t waiting_max = 512;          // requests that wait for models: 503 beyond
};

// A request for a model.
struct ModelWish {
  std::string name;     // of a model or adapter; "": the first model
  double deadline = 0;  // monotonic; 0: none but load_wait_seconds
  std::shared_ptr<const std::atomic<bool>> cancelled = nullptr;  // nobody wants it any more
  bool is_operators = false;  // who asks may see paths, and why a file cannot be loaded
  // Idle models may be unloaded to make room. False: it must fit beside those that are there.
  bool may_evict = true;
  bool is_canary = false;  // the canary of the model, see add_canary()
};

class ModelRegistry {
 public:
  // The first two must outlive the registry.
  ModelRegistry(EngineLoop& loop, Executor& executor, const RegistryOptions& options,
                MemoryProbe probe = memory_now);
  // stop(), and waits for what is being loaded.
  ~ModelRegistry();
  ModelRegistry(const ModelRegistry&) = delete;
  ModelRegistry& operator=(const ModelRegistry&) = delete;

  // From now on, whatever is loaded.
  void set_options(const RegistryOptions& options);

  // Makes the model known, unloaded; the first is the default. InvalidArgument when its name or
  // that of an adapter is taken or is none (1 to 256 bytes of printable ASCII without blanks).
  Result<void> add(const ModelSource& source);
  // What is known of it from now on: what is in memory is unloaded, and a request loads it as it is
  // now. NotFound; Unavailable while it is being loaded; InvalidArgument as of add().
  Result<void> change(const ModelSource& source);
  // Loads a model that add() made known, and returns when it is there. What ServedModel::plan() and
  // open() say; Exhausted with what is needed and free when it does not fit beside the others.
  Result<void> load(const std::string& name);

  // The model that a request names, when it is ready, at once.
  std::optional<ModelUse> find_ready(const std::string& asked);
  // The same as soon as it is ready: `done` is called once, here when nothing needs to be waited
  // for, else on another thread. 404 "model_not_found" with the names there are; 503 with
  // Retry-After when it is not ready in time, "insufficient_memory" with the figures when it does
  // not fit; 500 "model_load_failed" when its file cannot be loaded.
  using Done = std::function<void(ApiResult<ModelUse>)>;
  void acquire(const ModelWish& asked, Done done);

  // It takes no more requests, and goes when those that run have ended. `forgets`: the name goes as
  // well, at once. 404 when no model has that name, 409 while it is being loaded; else `gone` is
  // called once, when it is gone from memory, maybe here: with an error when the server ends first.
  using Gone = std::function<void(const std::optional<ApiError>&)>;
  std::optional<ApiError> unload(const std::string& name, bool forgets, Gone gone);
  // How long it stays without a request from now on: 0 unloads it when its last request has ended,
  // less is for ever, absent is as configured. False: no such model.
  bool set_idle(const std::string& name, std::optional<double> seconds);

  // The name by which that is known here which a request names: Ollama's clients write NAME:latest
  // for NAME. What takes a name that a request may bring (find_ready, acquire, set_idle, status)
  // takes both.
  std::string known_name(const std::string& name) const;
  // In the order they became known.
  std::vector<ModelStatus> list() const;
  // Of models in memory.
  std::vector<std::shared_ptr<StepRecorder>> step_recorders() const;
  // By its own name or that of an adapter, "": the first. 404.
  ApiResult<ModelStatus> status(const std::string& name) const;

  // A canary: the same model by another file or with other options, in memory beside it. No name
  // means it: requests have it by find_canary() and acquire() with is_canary only. One a model.
  // NotFound: no model of this name. InvalidArgument: it has one, or its adapters' names differ.
  Result<void> add_canary(const ModelSource& source);
  // That of the model or adapter which a request names, when it is ready.
  std::optional<ModelUse> find_canary(const std::string& asked);
  // 404: there is none.
  ApiResult<ModelStatus> canary_status(const std::string& name) const;
  // It is the model from now on; what was goes when its last request has ended, and no request
  // waits. NotFound; Unavailable while either comes or goes.
  Result<void> keep_canary(const std::string& name);
  // It takes no more requests, and goes when those that run have ended. Nothing happens when there
  // is none. REQUIRES: it is not being loaded.
  void drop_canary(const std::string& name);

  // Nothing is loaded from now on; who waits gets an error.
  void stop();

 private:
  struct Slot;
  struct Waiter;
  using Lock = std::unique_lock<std::mutex>;
  using SlotPtr = std::shared_ptr<Slot>;

  // REQUIRE mutex_.
  SlotPtr find(const std::string& name) const;
  SlotPtr canary_of(const std::string& name) const;
  std::string resolved(const std::string& name) const;
  std::string known_names() const;
  ApiError unknown(const std::string& name) const;
  Result<void> check_names(const ModelSource& source) const;
  ModelStatus status_of(const Slot& slot) const;
  double idle_limit(const Slot& slot) const;
  std::size_t waiting() const;
  std::uint64_t committed() const;
  void begin_load(const SlotPtr& slot);
  void begin_unload(Slot& slot, Counter& reason);
  void end_waiters(Slot& slot, const std::function<ApiError(const Waiter&)>& error);
  void fail(Slot& slot, const Error& error);
  void expire_waiters(double now);
  void look_at_idle(double now);
  double next_look(double now) const;

  void load_loop();
  SlotPtr next_to_load(Lock& lock);
  bool make_plan(Slot& slot, Lock& lock);
  enum class Room : std::uint8_t { kEnough, kLater, kNever };
  Room find_room(Slot& slot, Error& why);
  Error no_room(const Slot& slot, const MemoryNow& now) const;
  void open(const SlotPtr& slot, Lock& lock);
  void keep_loop();
  void finish_unloads(Lock& lock);

  EngineLoop& loop_;
  Executor& executor_;
  std::unique_ptr<Executor> loader_executor_;  // the loader's, once there are others to be served
  const MemoryProbe probe_;
  const std::uint64_t base_bytes_;
  mutable std::mutex mutex_;
  std::condition_variable loader_wakes_;
  std::condition_variable keeper_wakes_;
  // All guarded by mutex_.
  RegistryOptions options_;
  std::vector<SlotPtr> slots_;
  std::vector<SlotPtr> queue_;  // that are to be loaded, in the order they were asked for
  bool is_stopping_ = false;
  Thread loader_;
  Thread keeper_;
  // Where requests that waited go on; ends before all that they use.
  TaskThread resumer_{thread_names::kResumer};
};

}  // namespace paring::serve
