// SPDX-License-Identifier: Apache-2.0
// EngineLoop: the one thread that owns all engine state of the process. Models with work take
// turns, a step each; between steps it does what others asked for. It sleeps when there is nothing
// to do. Thread-safe but for what says otherwise.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "base/thread.h"
#include "serve/delivery.h"

namespace paring::serve {

// What the loop computes with: a model. All calls on the loop's thread.
class Steppable {
 public:
  virtual ~Steppable() = default;
  // One step. False: there was nothing to do.
  virtual bool step() = 0;
};

class EngineLoop {
 public:
  using Task = std::function<void()>;

  explicit EngineLoop(Delivery::Post post);
  // Ends the thread after the step that runs; what was posted and not begun is dropped.
  ~EngineLoop();
  EngineLoop(const EngineLoop&) = delete;
  EngineLoop& operator=(const EngineLoop&) = delete;

  // Runs `task` on the loop's thread, between steps, in the order of the calls.
  void post(Task task);
  // Runs it and returns when it is done. Not from the loop's thread.
  void call(const Task& task);

  // Who takes turns from now on.
  void add(std::shared_ptr<Steppable> model);
  // Who is stepped while no model has work. Until this ends.
  void add_idle(std::shared_ptr<Steppable> work);
  // It takes no more turns, and the loop holds it no more, when this returns. Not from the loop's
  // thread. REQUIRES: nothing of it is being computed.
  void remove(const std::shared_ptr<Steppable>& model);
  // On the loop's thread: what is delivered after the step.
  Delivery& delivery() noexcept { return delivery_; }

  // Seconds since the loop last finished a step or had nothing to do: a watchdog's question. 0
  // while it sleeps.
  double stalled_seconds() const noexcept;

 private:
  void run();
  bool step_all();

  Delivery delivery_;
  std::vector<std::shared_ptr<Steppable>> models_;  // the loop's
  std::vector<std::shared_ptr<Steppable>> idle_;    // the loop's
  std::mutex mutex_;
  std::condition_variable wakes_;
  std::deque<Task> tasks_;  // guarded by mutex_; bounded by those who admit requests
  bool is_stopping_ = false;
  std::atomic<double> beat_{0};  // monotonic; 0: it sleeps
  Thread thread_;
};

}  // namespace paring::serve
