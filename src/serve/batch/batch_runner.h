// SPDX-License-Identifier: Apache-2.0
// Runs the lines of all batches on a thread of its own, which starts them, keeps their answers and
// writes the files at the end. As many run at a time as the gate allows, tenants taking turns.
//
// An answer is in control.db before it counts. So after a SIGKILL at any moment each line has one
// answer or none, and the lines without one run again, by the next process that starts with this
// folder; a line that was being computed is computed again, and answered once.
//
//   BatchRunner runner(control, files, executor, {.idle_gate = [&] { return free_slots(); }});
//   runner.start();
//   BatchStore batches(control, files, [&] { runner.wake(); });
//   ...
//   runner.stop(grace_seconds);
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/thread.h"
#include "serve/batch/batch_input.h"
#include "serve/batch/batch_job.h"
#include "serve/batch/file_store.h"
#include "serve/batch/line_executor.h"
#include "store/batches.h"
#include "store/control_db.h"

namespace paring::serve {

// How many lines may run at the moment, asked on the runner's thread a few times a second. When it
// falls, lines that run are finished.
using IdleGate = std::function<std::size_t()>;

class BatchRunner {
 public:
  struct Options {
    IdleGate idle_gate;
    std::size_t lines_max = 256;  // at a time, whatever the gate says
    BatchInputLimits input = {};
  };
  // All must outlive this. REQUIRES: this process holds the ServingLock of `control`.
  BatchRunner(const store::ControlDb& control, FileStore& files, LineExecutor& executor,
              Options options, const Clock& clock = system_clock());
  // stop(0), if that was not done.
  ~BatchRunner();

  // Takes up what a process before this one left. Called once.
  void start();
  // A batch was made or cancelled, or the gate may have opened. Any thread.
  void wake();
  // Starts no more lines, gives those that run `grace_seconds`, then cancels them, and returns when
  // all answers that came are kept. What is not done goes on at the next start.
  void stop(double grace_seconds);

 private:
  struct Event {
    std::string batch_id;
    std::size_t index = 0;
    LineAnswer answer;
  };
  // Shared with tickets, which may come to their end after the runner.
  struct Inbox {
    std::mutex mutex;
    std::condition_variable arrived;
    std::vector<Event> events;
    bool is_woken = false;
  };

  void loop();
  void take_events(double now);
  void keep_answers(BatchJob& job, double now);
  void refresh(double now);
  void open_job(store::BatchRow row, double now);
  bool read_job(BatchJob& job);
  void end_if_done(BatchJob& job, double now);
  bool finalize(BatchJob& job, store::BatchState state, const char* code);
  void start_lines(double now);
  void count_tenants();
  bool start_one(BatchJob& job, double now);
  std::size_t running() const noexcept;
  bool has_pending() const noexcept;
  void wait(double seconds);
  std::int64_t wall_s() const noexcept;

  const store::ControlDb& control_;
  FileStore& files_;
  LineExecutor& executor_;
  const Options options_;
  const Clock& clock_;
  const store::Batches batches_;
  const std::shared_ptr<Inbox> inbox_;

  std::atomic<bool> is_stopping_{false};
  std::atomic<double> cancel_at_{0};  // monotonic seconds, while stopping
  Thread thread_;

  // Of the runner's thread.
  std::vector<std::unique_ptr<BatchJob>> jobs_;
  std::map<std::string, std::uint64_t> started_;  // lines, by tenant
  double refresh_at_ = 0;
  double sweep_at_ = 0;
};

}  // namespace paring::serve
