// SPDX-License-Identifier: Apache-2.0
#include "serve/batch/batch_runner.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <map>
#include <utility>

#include "base/log.h"
#include "base/metrics.h"
#include "serve/batch/batch_json.h"

namespace paring::serve {

namespace {

// Batches at a time: each holds its lines' places. A tenant's oldest batch is worked on although
// others have as many as that, since theirs may wait for long, for their keys' rates say.
constexpr std::size_t kJobsMax = 8;
constexpr std::size_t kFirstJobsMax = 128;
constexpr std::int64_t kOpenRowsMax = 1000;  // looked at to choose them
constexpr double kTickSeconds = 0.1;         // between looks at the gate
constexpr double kIdleTickSeconds = 1;       // the same when there is nothing to do
constexpr double kRefreshSeconds = 5;
constexpr double kSweepSeconds = 60;
constexpr double kRetrySeconds = 1;   // after a disk that was full, or a database that was busy
constexpr double kCancelSeconds = 5;  // for cancelled lines to come back at the end

bool is_ending(store::BatchState state) noexcept {
  return state == store::BatchState::kCancelling || state == store::BatchState::kFinalizing;
}

}  // namespace

BatchRunner::BatchRunner(const store::ControlDb& control, FileStore& files, LineExecutor& executor,
                         Options options, const Clock& clock)
    : control_(control),
      files_(files),
      executor_(executor),
      options_(std::move(options)),
      clock_(clock),
      batches_(control_),
      inbox_(std::make_shared<Inbox>()) {}

BatchRunner::~BatchRunner() { stop(0); }

void BatchRunner::start() {
  PARING_CHECK(!thread_.joinable(), "batches are started once");
  thread_ = Thread(thread_names::kBatches, [this] { loop(); });
}

void BatchRunner::wake() {
  const std::lock_guard lock(inbox_->mutex);
  inbox_->is_woken = true;
  inbox_->arrived.notify_one();
}

void BatchRunner::stop(double grace_seconds) {
  if (!thread_.joinable()) return;
  cancel_at_.store(clock_.monotonic_seconds() + grace_seconds);
  is_stopping_.store(true);
  wake();
  thread_.join();
}

std::int64_t BatchRunner::wall_s() const noexcept {
  return static_cast<std::int64_t>(clock_.wall_seconds());
}

std::size_t BatchRunner::running() const noexcept {
  std::size_t count = 0;
  for (const auto& job : jobs_) count += job->running();
  return count;
}

bool BatchRunner::has_pending() const noexcept {
  return std::any_of(jobs_.begin(), jobs_.end(),
                     [](const auto& job) { return !job->pending().empty(); });
}

// One turn: answers in, then states, then new lines.
void BatchRunner::loop() {
  while (true) {
    const double now = clock_.monotonic_seconds();
    take_events(now);
    for (const auto& job : jobs_) keep_answers(*job, now);
    if (is_stopping_.load()) {
      const double over = now - cancel_at_.load();
      if (over >= 0) {
        for (const auto& job : jobs_) job->cancel_running();
      }
      if ((running() == 0 && !has_pending()) || over >= kCancelSeconds) return;
      wait(kTickSeconds);
      continue;
    }
    if (now >= refresh_at_) refresh(now);
    for (const auto& job : jobs_) end_if_done(*job, now);
    std::erase_if(jobs_, [](const auto& job) {
      const store::BatchState state = job->row().state;
      return state != store::BatchState::kInProgress && !is_ending(state);
    });
    start_lines(now);
    if (now >= sweep_at_) {
      files_.remove_expired();
      sweep_at_ = now + kSweepSeconds;
    }
    wait(jobs_.empty() ? kIdleTickSeconds : kTickSeconds);
  }
}

void BatchRunner::wait(double seconds) {
  std::unique_lock lock(inbox_->mutex);
  inbox_->arrived.wait_for(lock, std::chrono::duration<double>(seconds),
                           [this] { return inbox_->is_woken || !inbox_->events.empty(); });
  if (std::exchange(inbox_->is_woken, false)) refresh_at_ = 0;
}

void BatchRunner::take_events(double now) {
  std::vector<Event> events;
  {
    const std::lock_guard lock(inbox_->mutex);
    events.swap(inbox_->events);
  }
  for (const Event& event : events) {
    for (const auto& job : jobs_) {
      if (job->row().id == event.batch_id) job->take_answer(event.index, event.answer, now);
    }
  }
}

void BatchRunner::keep_answers(BatchJob& job, double now) {
  if (job.pending().empty() || job.is_waiting(now)) return;
  const Result<std::int64_t> kept = batches_.add_results(job.row().id, job.pending());
  if (!kept) {
    // They stay in memory; no line of this batch starts before they are kept.
    log_error(fmt::format("answers of '{}' cannot be kept: {}", job.row().id, kept.error().text()));
    job.set_retry(now + kRetrySeconds);
    return;
  }
  for (const store::BatchResult& result : job.pending()) {
    (result.is_failed ? metrics().batch_lines_failed : metrics().batch_lines_completed).add();
  }
  job.set_kept();
}

// Which batches are worked on: the oldest of each tenant, then their second ones, and so on.
void BatchRunner::refresh(double now) {
  refresh_at_ = now + kRefreshSeconds;
  Result<std::vector<store::BatchRow>> open = batches_.open(kJobsMax, kOpenRowsMax);
  if (!open) {
    log_error("batches cannot be listed: " + open.error().text());
    return;
  }
  std::map<std::string, std::size_t> seen;
  std::vector<std::pair<std::size_t, store::BatchRow*>> ranked;
  for (store::BatchRow& row : *open) {
    const auto job = std::find_if(jobs_.begin(), jobs_.end(),
                                  [&](const auto& each) { return each->row().id == row.id; });
    const std::size_t rank = seen[row.tenant]++;
    if (job == jobs_.end()) {
      ranked.emplace_back(rank, &row);
    } else if (row.state == store::BatchState::kCancelling) {
      (*job)->set_state(row.state);
    }
  }
  std::stable_sort(ranked.begin(), ranked.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  for (const auto& [rank, row] : ranked) {
    if (jobs_.size() >= (rank == 0 ? kFirstJobsMax : kJobsMax) || is_stopping_.load()) return;
    open_job(std::move(*row), now);
  }
}

void BatchRunner::open_job(store::BatchRow row, double now) {
  auto job = std::make_unique<BatchJob>(std::move(row), options_.input, now, wall_s());
  if (read_job(*job)) jobs_.push_back(std::move(job));
}

// Whether the job is to be worked on; when not, it failed, or is tried again by refresh().
bool BatchRunner::read_job(BatchJob& job) {
  const std::string& id = job.row().id;
  const bool is_new = job.row().state == store::BatchState::kValidating;
  const Result<void> read = job.read_input(files_, [this] { return !is_stopping_.load(); });
  if (!read && read.error().code == ErrorCode::kCancelled) return false;
  if (!read) log_error(fmt::format("batch '{}': {}", id, read.error().text()));
  if (!is_new) {
    // Without its file it waits for its cancellation or its end, and keeps the answers it has.
    const Result<std::vector<std::int64_t>> answered = batches_.answered(id);
    if (!answered) {
      log_error(fmt::format("batch '{}': {}", id, answered.error().text()));
      return false;
    }
    job.set_answered(*answered);
    return true;
  }
  std::vector<BatchLineError> errors = job.input().errors;
  if (!read) errors = {{"file_unreadable", "The input file cannot be read.", "", 0}};
  const Result<bool> done =
      errors.empty() ? batches_.start(id, static_cast<std::int64_t>(job.input().lines.size()),
                                      job.input().model, wall_s())
                     : batches_.fail(id, batch_errors_json(errors), wall_s());
  if (!done) {
    log_error(fmt::format("batch '{}': {}", id, done.error().text()));
    return false;
  }
  // Not done: it was cancelled meanwhile, and refresh() finds it so.
  if (!*done) refresh_at_ = 0;
  if (!*done || !errors.empty()) return false;
  job.set_started(wall_s());
  return true;
}

void BatchRunner::end_if_done(BatchJob& job, double now) {
  if (job.is_waiting(now)) return;
  const store::BatchState state = job.row().state;
  const bool is_over = job.has_expired(now) || job.is_all_answered();
  if (state == store::BatchState::kInProgress && !is_over) return;
  // Answers on their way are taken along, if they come soon.
  job.cancel_running();
  if (job.running() > 0 || !job.pending().empty()) return;
  bool is_done = false;
  if (state == store::BatchState::kCancelling) {
    is_done = finalize(job, store::BatchState::kCancelled, "batch_cancelled");
  } else {
    const Result<bool> begun = batches_.begin_finalizing(job.row().id, wall_s());
    if (begun && !*begun && state == store::BatchState::kInProgress) refresh_at_ = 0;  // cancelled
    if (begun && (*begun || state == store::BatchState::kFinalizing)) {
      job.set_state(store::BatchState::kFinalizing);
      is_done = finalize(
          job, job.is_all_answered() ? store::BatchState::kCompleted : store::BatchState::kExpired,
          "batch_expired");
    }
  }
  if (!is_done) job.set_retry(now + kRetrySeconds);
}

bool BatchRunner::finalize(BatchJob& job, store::BatchState state, const char* code) {
  const Result<store::Batches::Ending> ending = job.write_files(batches_, files_, state, code);
  const Result<bool> done =
      ending ? batches_.finish(job.row().id, *ending, wall_s()) : Result<bool>(ending.error());
  if (!done) {
    log_error(fmt::format("the files of batch '{}' cannot be written: {}", job.row().id,
                          done.error().text()));
    return false;
  }
  job.set_state(state);
  refresh_at_ = 0;  // there is room for another
  return true;
}

// The tenant that has started fewest lines comes first; of one tenant's batches the oldest.
void BatchRunner::start_lines(double now) {
  count_tenants();
  std::vector<BatchJob*> ready;
  for (const auto& job : jobs_) ready.push_back(job.get());
  const std::size_t allowed =
      ready.empty() ? 0 : std::min(options_.lines_max, options_.idle_gate());
  for (std::size_t count = running(); count < allowed && !ready.empty();) {
    const auto next =
        std::min_element(ready.begin(), ready.end(), [this](const BatchJob* a, const BatchJob* b) {
          return started_[a->row().tenant] < started_[b->row().tenant];
        });
    if (start_one(**next, now)) {
      ++started_[(*next)->row().tenant];
      ++count;
    } else {
      ready.erase(next);
    }
  }
}

// A tenant that comes anew begins where the others are, not far behind them.
void BatchRunner::count_tenants() {
  std::map<std::string, std::uint64_t> present;
  std::uint64_t least = std::numeric_limits<std::uint64_t>::max();
  for (const auto& [tenant, lines] : started_) least = std::min(least, lines);
  if (started_.empty()) least = 0;
  for (const auto& job : jobs_) {
    const auto known = started_.find(job->row().tenant);
    present[job->row().tenant] = known == started_.end() ? least : known->second;
  }
  started_ = std::move(present);
}

bool BatchRunner::start_one(BatchJob& job, double now) {
  // A batch whose answers cannot be kept starts nothing.
  if (job.has_expired(now) || (!job.pending().empty() && job.is_waiting(now))) return false;
  const auto finished = [&](std::size_t index) -> LineTicket::Finished {
    return [inbox = inbox_, id = job.row().id, index](LineAnswer answer) {
      const std::lock_guard lock(inbox->mutex);
      inbox->events.push_back({id, index, std::move(answer)});
      inbox->arrived.notify_one();
    };
  };
  std::optional<Result<BatchJob::Start>> next = job.start_next(now, finished);
  if (!next) return false;
  if (!*next) {
    log_error(fmt::format("batch '{}': {}", job.row().id, next->error().text()));
    return false;
  }
  BatchJob::Start start = std::move(*next).value();
  executor_.start(std::move(start.request), std::move(start.ticket));
  return true;
}

}  // namespace paring::serve
