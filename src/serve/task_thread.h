// SPDX-License-Identifier: Apache-2.0
// TaskThread: one unpinned thread that does small things one after the other, so that neither the
// engine's thread nor the one that writes to sockets has to. Thread-safe.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace paring::serve {

class TaskThread {
 public:
  TaskThread() : thread_([this] { run(); }) {}
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
  std::thread thread_;
};

}  // namespace paring::serve
