// SPDX-License-Identifier: Apache-2.0
#include "base/executor.h"

#include <fmt/core.h>
#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <system_error>
#include <utility>

#include "base/cgroup.h"
#include "base/clock.h"
#include "base/cpus.h"
#include "base/log.h"
#include "base/thread.h"

namespace paring {
namespace {

// A pause lasts 40 to 140 cycles, so this is 50 to 150 us: longer than the gap between two phases
// of a step, shorter than a reader would notice on an idle server.
constexpr unsigned kSpins = 4000;

// The quota is looked at so often: the answer costs about 0.1 ms.
constexpr double kQuotaSeconds = 1;

// Low bits of the generation, for up to kThreadsMax workers.
constexpr unsigned kWorkerBits = 9;
static_assert(Executor::kThreadsMax < (1U << kWorkerBits));

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

std::size_t Worker::count() const noexcept { return executor_.workers_; }
void Worker::barrier() noexcept { executor_.wait_barrier(); }

Executor::Executor(Options options)
    : root_(std::move(options.root)), obeys_quota_(options.obeys_quota) {
  const CpuLimits limits = cpu_limits(root_, affinity_cpus());
  threads_ = options.threads == 0 ? std::min(limits.usable(), kThreadsMax) : options.threads;
  // Spinning takes the CPU from the worker that is waited for where there are not enough of them.
  // Of a quota it takes something, too, but sleeping and waking at each barrier takes far more.
  spins_ = threads_ <= limits.cpus.size() ? kSpins : 0;
  workers_ = threads_;
  quota_read_ = system_clock().monotonic_seconds();
  set_workers(limits.quota);
  if (options.pin && threads_ > 1 && threads_ <= limits.cpus.size() && !limits.quota) {
    cpus_.assign(limits.cpus.begin(), limits.cpus.begin() + static_cast<std::ptrdiff_t>(threads_));
  }
}

Result<std::unique_ptr<Executor>> Executor::create(Options options) {
  if (options.threads > kThreadsMax) {
    return invalid_argument(
        fmt::format("{} threads asked for, the limit is {}", options.threads, kThreadsMax));
  }
  std::unique_ptr<Executor> executor(new Executor(std::move(options)));
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
  start(threads_);
  for (std::thread& thread : pool_) thread.join();
}

void Executor::start(std::size_t workers) noexcept {
  const unsigned number = (generation_.load(std::memory_order_relaxed) >> kWorkerBits) + 1;
  generation_.store(number << kWorkerBits | static_cast<unsigned>(workers),
                    std::memory_order_release);
  generation_.notify_all();
}

void Executor::wait_while(const std::atomic<unsigned>& cell, unsigned value,
                          unsigned spins) const noexcept {
  for (unsigned spin = 0; spin < spins; ++spin) {
    if (cell.load(std::memory_order_acquire) != value) return;
    pause_cpu();
  }
  cell.wait(value, std::memory_order_acquire);
}

void Executor::wait_barrier() noexcept {
  // Read before arriving: afterwards the job may end, and the next one have other workers.
  const std::size_t workers = workers_;
  if (workers == 1) return;
  // The phase cannot move before this worker has arrived, so this is the phase to wait out.
  const unsigned phase = phase_.load(std::memory_order_relaxed);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 < workers) {
    wait_while(phase_, phase, spins_);
    return;
  }
  arrived_.store(0, std::memory_order_relaxed);
  phase_.store(phase + 1, std::memory_order_release);
  phase_.notify_all();
}

void Executor::worker_loop(std::size_t index) noexcept {
  set_thread_name(fmt::format("{}{}", thread_names::kExecutor, index));
  if (!cpus_.empty()) set_affinity({cpus_[index]});  // refused: runs unpinned, still correct
  Worker worker(*this, index);
  running = this;
  bool is_needed = true;
  for (unsigned seen = 0;;) {
    wait_while(generation_, seen, is_needed ? spins_ : 0);
    seen = generation_.load(std::memory_order_acquire);
    // A job that does without this worker may be over already, and another one may have begun; one
    // that needs it is still the one at hand, as it cannot end without it.
    is_needed = index < (seen & ((1U << kWorkerBits) - 1));
    if (!is_needed) continue;
    if (stopping_) return;
    (*job_)(worker);
    wait_barrier();  // the caller returns from run() when all are here
  }
}

void Executor::set_workers(std::optional<double> quota) {
  const std::size_t workers =
      quota && obeys_quota_ ? std::min(threads_, cpus_within(*quota)) : threads_;
  if (workers == workers_) return;
  workers_ = workers;
  log_info(quota ? fmt::format("with a CPU quota of {:.2f} {} of {} compute threads work", *quota,
                               workers, threads_)
                 : fmt::format("without a CPU quota all {} compute threads work", threads_));
}

void Executor::follow_quota() {
  const double now = system_clock().monotonic_seconds();
  if (now - quota_read_ < kQuotaSeconds) return;
  quota_read_ = now;
  set_workers(cgroup_cpu_quota(root_));
}

void Executor::run(const std::function<void(Worker&)>& job) {
  PARING_CHECK(running == nullptr, "a job called run()");
  const std::lock_guard<std::mutex> lock(run_mutex_);
  if (obeys_quota_ && threads_ > 1) follow_quota();
  std::vector<int> own_cpus;
  if (!cpus_.empty()) {
    own_cpus = affinity_cpus();
    set_affinity({cpus_[0]});
  }
  Worker worker(*this, 0);
  running = this;
  job_ = &job;
  if (workers_ > 1) start(workers_);
  // A job must not throw: the other workers would wait at its barriers for ever.
  [&]() noexcept { job(worker); }();
  wait_barrier();
  running = nullptr;
  job_ = nullptr;
  if (!cpus_.empty()) set_affinity(own_cpus);
}

}  // namespace paring
