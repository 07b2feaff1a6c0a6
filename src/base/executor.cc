// SPDX-License-Identifier: Apache-2.0
#include "base/executor.h"

#include <fmt/core.h>
#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <system_error>

#include "base/cpus.h"

namespace paring {
namespace {

// A pause lasts 40 to 140 cycles, so this is 50 to 150 us: longer than the gap between two phases
// of a step, shorter than a reader would notice on an idle server.
constexpr unsigned kSpins = 4000;

// The executor whose job this thread runs, to catch nested run() calls, which would deadlock.
thread_local const Executor* running = nullptr;

void pause_cpu() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield" ::: "memory");
#endif
}

}  // namespace

Range split_range(std::size_t count, std::size_t grain, std::size_t index,
                  std::size_t parts) noexcept {
  PARING_DCHECK(grain > 0 && parts > 0 && index < parts, "split_range outside its domain");
  const std::size_t grains = count / grain + (count % grain != 0 ? 1 : 0);
  const std::size_t share = grains / parts;
  const std::size_t longer = grains % parts;  // the first `longer` parts have one grain more
  const std::size_t begin = index * share + std::min(index, longer);
  const std::size_t end = begin + share + (index < longer ? 1 : 0);
  return {std::min(begin * grain, count), std::min(end * grain, count)};
}

std::size_t Worker::count() const noexcept { return executor_.threads(); }
void Worker::barrier() noexcept { executor_.wait_barrier(); }

Executor::Executor(Options options) {
  const CpuLimits limits = cpu_limits("", affinity_cpus());
  threads_ = options.threads == 0 ? std::min(limits.usable(), kThreadsMax) : options.threads;
  spins_ = threads_ <= limits.concurrent() ? kSpins : 0;
  if (options.pin && threads_ > 1 && threads_ <= limits.cpus.size() && !limits.quota) {
    cpus_.assign(limits.cpus.begin(), limits.cpus.begin() + static_cast<std::ptrdiff_t>(threads_));
  }
}

Result<std::unique_ptr<Executor>> Executor::create(Options options) {
  if (options.threads > kThreadsMax) {
    return invalid_argument(
        fmt::format("{} threads asked for, the limit is {}", options.threads, kThreadsMax));
  }
  std::unique_ptr<Executor> executor(new Executor(options));
  PARING_TRY_VOID(executor->start_pool());
  return executor;
}

Result<void> Executor::start_pool() {
  // Signals (Ctrl-C) are for the caller's threads: pool threads inherit a mask that blocks them
  // all.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  // A thread's own faults: while one is blocked, the system ends the process without a handler.
  for (const int fault : {SIGBUS, SIGSEGV, SIGFPE, SIGILL, SIGABRT}) sigdelset(&all, fault);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  Result<void> result;
  try {
    pool_.reserve(threads_ - 1);
    for (std::size_t index = 1; index < threads_; ++index) {
      pool_.emplace_back([this, index] { worker_loop(index); });
    }
  } catch (const std::system_error& error) {
    result = exhausted(fmt::format("the system refused thread {} of {}: {}", pool_.size() + 2,
                                   threads_, error.what()),
                       "use fewer threads");
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return result;
}

Executor::~Executor() {
  stopping_ = true;
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();
  for (std::thread& thread : pool_) thread.join();
}

void Executor::wait_while(const std::atomic<unsigned>& cell, unsigned value) const noexcept {
  for (unsigned spin = 0; spin < spins_; ++spin) {
    if (cell.load(std::memory_order_acquire) != value) return;
    pause_cpu();
  }
  cell.wait(value, std::memory_order_acquire);
}

void Executor::wait_barrier() noexcept {
  if (threads_ == 1) return;
  // The phase cannot move before this worker has arrived, so this is the phase to wait out.
  const unsigned phase = phase_.load(std::memory_order_relaxed);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 < threads_) {
    wait_while(phase_, phase);
    return;
  }
  arrived_.store(0, std::memory_order_relaxed);
  phase_.store(phase + 1, std::memory_order_release);
  phase_.notify_all();
}

void Executor::worker_loop(std::size_t index) noexcept {
  pthread_setname_np(pthread_self(), fmt::format("paring-{}", index).c_str());
  if (!cpus_.empty()) set_affinity({cpus_[index]});  // refused: runs unpinned, still correct
  Worker worker(*this, index);
  running = this;
  for (unsigned seen = 0;; ++seen) {
    wait_while(generation_, seen);
    if (stopping_) return;
    (*job_)(worker);
    wait_barrier();  // the caller returns from run() when all are here
  }
}

void Executor::run(const std::function<void(Worker&)>& job) {
  PARING_CHECK(running == nullptr, "a job called run()");
  const std::lock_guard<std::mutex> lock(run_mutex_);
  std::vector<int> own_cpus;
  if (!cpus_.empty()) {
    own_cpus = affinity_cpus();
    set_affinity({cpus_[0]});
  }
  Worker worker(*this, 0);
  running = this;
  job_ = &job;
  if (threads_ > 1) {
    generation_.fetch_add(1, std::memory_order_release);
    generation_.notify_all();
  }
  // A job must not throw: the other workers would wait at its barriers for ever.
  [&]() noexcept { job(worker); }();
  wait_barrier();
  running = nullptr;
  job_ = nullptr;
  if (!cpus_.empty()) set_affinity(own_cpus);
}

}  // namespace paring
