// SPDX-License-Identifier: Apache-2.0
#include "serve/engine_loop.h"

#include <algorithm>
#include <chrono>
#include <future>
#include <utility>

#include "base/clock.h"

namespace paring::serve {

EngineLoop::EngineLoop(Delivery::Post post)
    : delivery_(std::move(post)), thread_(thread_names::kEngine, [this] { run(); }) {}

EngineLoop::~EngineLoop() {
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
  }
  wakes_.notify_one();
  thread_.join();
}

void EngineLoop::post(Task task) {
  {
    const std::lock_guard lock(mutex_);
    tasks_.push_back(std::move(task));
  }
  wakes_.notify_one();
}

void EngineLoop::call(const Task& task) {
  std::promise<void> done;
  post([&] {
    task();
    done.set_value();
  });
  done.get_future().wait();
}

void EngineLoop::add(std::shared_ptr<Steppable> model) {
  post([this, model = std::move(model)]() mutable { models_.push_back(std::move(model)); });
}

void EngineLoop::add_idle(std::shared_ptr<Steppable> work) {
  post([this, work = std::move(work)]() mutable { idle_.push_back(std::move(work)); });
}

void EngineLoop::remove(const std::shared_ptr<Steppable>& model) {
  call([&] { std::erase(models_, model); });
}

double EngineLoop::stalled_seconds() const noexcept {
  const double beat = beat_.load(std::memory_order_relaxed);
  return beat == 0 ? 0 : system_clock().monotonic_seconds() - beat;
}

bool EngineLoop::step_all() {
  bool has_worked = false;
  for (std::size_t i = 0; i < models_.size(); ++i) {
    beat_.store(system_clock().monotonic_seconds(), std::memory_order_relaxed);
    has_worked = models_[i]->step() || has_worked;
    delivery_.flush();
  }
  if (has_worked) return true;
  for (const auto& work : idle_) {
    beat_.store(system_clock().monotonic_seconds(), std::memory_order_relaxed);
    if (work->step()) return true;  // models are asked again before the next
  }
  return false;
}

void EngineLoop::run() {
  std::deque<Task> tasks;
  bool has_worked = false;
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      if (!has_worked) {
        beat_.store(0, std::memory_order_relaxed);
        wakes_.wait(lock, [this] { return is_stopping_ || !tasks_.empty(); });
      }
      if (is_stopping_) return;
      tasks.swap(tasks_);
    }
    beat_.store(system_clock().monotonic_seconds(), std::memory_order_relaxed);
    for (Task& task : tasks) task();
    tasks.clear();
    delivery_.flush();
    has_worked = step_all();
  }
}

}  // namespace paring::serve
