// SPDX-License-Identifier: Apache-2.0
// TaskThread: one unpinned thread that does small things one after the other, so that neither the
// engine's thread nor the one that writes to sockets has to. Thread-safe.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <string_view>

#include "base/thread.h"

namespace paring::serve {

class TaskThread {
 public:
  // `name`: of thread_names. `stack_bytes`: 0 for the system's size.
  explicit TaskThread(std::string_view name, std::size_t stack_bytes = 0)
      : thread_(name, [this] { run(); }, stack_bytes) {}
  // Ends after the task that runs; the others are dropped.
  ~TaskThread();
  TaskThread(const TaskThread&) = delete;
  TaskThread& operator=(const TaskThread&) = delete;

  // Callers bound how many wait: one for each sequence or request that they serve.
  void post(std::function<void()> task);
  // Waits until all that was posted before is done.
  void finish();

 private:
  void run();

  std::mutex mutex_;
  std::condition_variable wakes_;
  std::deque<std::function<void()>> tasks_;  // guarded by mutex_
  bool is_stopping_ = false;
  Thread thread_;
};

}  // namespace paring::serve
