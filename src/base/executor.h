// SPDX-License-Identifier: Apache-2.0
// Executor: the process's pinned compute threads. One job at a time runs on all of them, SPMD: each
// worker executes the same function and meets the others at barriers. Work is split by index, never
// by arrival, so results do not depend on timing.
//
//   executor.run([&](Worker& worker) {
//     const Range rows = worker.split(row_count, 16);   // this worker's part, a multiple of 16
//     ...
//     worker.barrier();                                  // all parts done
//   });
//
// Thread-safe: concurrent run() calls are served one after the other. A job must not call run() and
// must not throw.
//
// Under a CPU quota of control groups a job has no more workers than the quota has CPUs, whatever
// the number of threads (ADR 27): the others would only use it up in half the time, and then all
// stand still, mostly in the middle of a phase. The quota is read again now and then.
//
// Pinning: pool threads stay on their CPU for life. The caller is pinned for the time of run() only
// and gets its own mask back, so threads that it starts later do not inherit a pin. Nothing is
// pinned when there are more workers than CPUs, or under a CPU quota (other containers would pick
// the same CPUs): then the kernel balances better.
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/result.h"

namespace paring {

struct Range {
  std::size_t begin = 0;
  std::size_t end = 0;
  std::size_t size() const noexcept { return end - begin; }
  bool empty() const noexcept { return begin >= end; }
};

// Part `index` of `parts` nearly equal contiguous parts of [0, count), with boundaries at multiples
// of `grain` (the last part may be short; some may be empty).
Range split_range(std::size_t count, std::size_t grain, std::size_t index,
                  std::size_t parts) noexcept;

class Executor;

class Worker {
 public:
  std::size_t index() const noexcept { return index_; }
  // Workers of this job: Executor::threads(), or fewer under a quota.
  std::size_t count() const noexcept;
  bool is_first() const noexcept { return index_ == 0; }
  // Returns when every worker of the job has called it. Spins briefly, then sleeps on a futex.
  void barrier() noexcept;
  Range split(std::size_t items, std::size_t grain = 1) const noexcept {
    return split_range(items, grain, index_, count());
  }

 private:
  friend class Executor;
  Worker(Executor& executor, std::size_t index) : executor_(executor), index_(index) {}
  Executor& executor_;
  std::size_t index_;
};

// Threads the process may really use at once: min(affinity mask, physical cores, cgroup v1/v2 CPU
// quota rounded, at least 1).
std::size_t usable_cores();

class Executor {
 public:
  struct Options {
    std::size_t threads = 0;  // 0: usable_cores()
    bool pin = true;          // each worker to one CPU of the affinity mask
    bool obeys_quota = true;  // false: all threads work on every job
    std::string root{};       // in front of the paths that tell the quota, for tests (base/cpus.h)
  };
  // InvalidArgument when threads > kThreadsMax.
  static Result<std::unique_ptr<Executor>> create(Options options);
  ~Executor();

  // The most workers that a job can have.
  std::size_t threads() const noexcept { return threads_; }
  // Runs `job` on its workers (the caller is worker 0) and returns when all have finished.
  void run(const std::function<void(Worker&)>& job);

  static constexpr std::size_t kThreadsMax = 256;

 private:
  friend class Worker;
  explicit Executor(Options options);
  Result<void> start_pool();
  void worker_loop(std::size_t index) noexcept;
  // Bumps generation_ for `workers` workers.
  void start(std::size_t workers) noexcept;
  void follow_quota();
  void set_workers(std::optional<double> quota);
  void wait_barrier() noexcept;
  void wait_while(const std::atomic<unsigned>& cell, unsigned value, unsigned spins) const noexcept;

  std::size_t threads_ = 1;
  std::string root_;
  bool obeys_quota_ = true;
  double quota_read_ = 0;    // when, in seconds of the monotonic clock
  std::size_t workers_ = 1;  // of the job at hand; changed between jobs, published by generation_
  unsigned spins_ = 0;       // pauses before a waiting worker sleeps
  std::vector<int> cpus_;    // CPU of each worker; empty: not pinned
  std::vector<std::thread> pool_;
  std::mutex run_mutex_;
  const std::function<void(Worker&)>* job_ = nullptr;
  bool stopping_ = false;  // as job_, published by generation_
  // Each on its own cache line: workers spin on generation_ and phase_ while arrived_ changes.
  // Number of the job, and in the low bits of how many workers it is; changed to start one.
  alignas(64) std::atomic<unsigned> generation_{0};
  alignas(64) std::atomic<unsigned> arrived_{0};  // workers at the barrier
  alignas(64) std::atomic<unsigned> phase_{0};    // bumped when all have arrived
};

}  // namespace paring
