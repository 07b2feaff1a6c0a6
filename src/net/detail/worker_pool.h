// SPDX-License-Identifier: Apache-2.0
// A few threads that run requests' handlers, with a bounded queue in front.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <vector>

#include "base/thread.h"

namespace paring::net::detail {

class WorkerPool {
 public:
  // `stack_bytes`: of each thread; 0: the system's size.
  WorkerPool(std::size_t threads, std::size_t queued_max, std::size_t stack_bytes);
  ~WorkerPool();

  // False when the queue is full or the pool was stopped. Thread-safe. A task must not throw.
  bool submit(std::function<void()> task);
  // Drops what waits, lets what runs end, joins.
  void stop();

 private:
  void run();

  const std::size_t queued_max_;
  std::mutex mutex_;
  std::condition_variable is_there_work_;
  std::deque<std::function<void()>> tasks_;
  bool is_stopping_ = false;
  std::vector<Thread> threads_;
};

}  // namespace paring::net::detail
