// SPDX-License-Identifier: Apache-2.0
#include "net/detail/worker_pool.h"

#include <string>
#include <utility>

namespace paring::net::detail {

WorkerPool::WorkerPool(std::size_t threads, std::size_t queued_max, std::size_t stack_bytes)
    : queued_max_(queued_max) {
  threads_.reserve(threads);
  for (std::size_t i = 0; i < threads; ++i) {
    const std::string name = std::string(thread_names::kHttpWorker) + std::to_string(i);
    threads_.emplace_back(name, [this] { run(); }, stack_bytes);
  }
}

WorkerPool::~WorkerPool() { stop(); }

bool WorkerPool::submit(std::function<void()> task) {
  {
    const std::lock_guard lock(mutex_);
    if (is_stopping_ || tasks_.size() >= queued_max_) return false;
    tasks_.push_back(std::move(task));
  }
  is_there_work_.notify_one();
  return true;
}

void WorkerPool::stop() {
  std::deque<std::function<void()>> dropped;  // destroyed without the lock
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
    dropped.swap(tasks_);
  }
  is_there_work_.notify_all();
  for (Thread& thread : threads_) thread.join();
}

void WorkerPool::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    is_there_work_.wait(lock, [&] { return is_stopping_ || !tasks_.empty(); });
    if (is_stopping_) return;
    const std::function<void()> task = std::move(tasks_.front());
    tasks_.pop_front();
    lock.unlock();
    task();
    lock.lock();
  }
}

}  // namespace paring::net::detail
