// SPDX-License-Identifier: Apache-2.0
// One batch that is being worked on: which lines it has, which run, which are answered. Knows
// nothing of other batches. Confined to the runner's thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "serve/batch/batch_input.h"
#include "serve/batch/batch_json.h"
#include "serve/batch/file_store.h"
#include "serve/batch/line_executor.h"
#include "store/batches.h"

namespace paring::serve {

class BatchJob {
 public:
  // `now`: monotonic seconds, as everywhere here; `wall_s` only to see how long it may still take,
  // so that a later step of the wall clock neither ends it early nor keeps it.
  BatchJob(store::BatchRow row, const BatchInputLimits& limits, double now, std::int64_t wall_s);

  // Reads and checks the input file; a file that cannot be read leaves the job without lines.
  // `keep_going` is asked now and then, Cancelled when it says no.
  Result<void> read_input(const FileStore& files, const std::function<bool()>& keep_going);
  // Lines that have an answer already, of a process before this one.
  void set_answered(const std::vector<std::int64_t>& numbers);

  const store::BatchRow& row() const noexcept { return row_; }
  void set_state(store::BatchState state) noexcept { row_.state = state; }
  // Its lines may run from now on.
  void set_started(std::int64_t at_s) noexcept {
    row_.state = store::BatchState::kInProgress;
    row_.in_progress_s = at_s;
  }
  // A step has failed; it is tried again then, and no line starts before.
  void set_retry(double at) noexcept { retry_at_ = at; }
  bool is_waiting(double now) const noexcept { return now < retry_at_; }
  const BatchInput& input() const noexcept { return input_; }

  // The next line to run; nullopt when there is none now. It runs until take_answer().
  struct Start {
    LineRequest request;
    std::shared_ptr<LineTicket> ticket;
  };
  std::optional<Result<Start>> start_next(
      double now, const std::function<LineTicket::Finished(std::size_t)>& finished);
  // What a line came to. What is to be kept comes out of pending().
  void take_answer(std::size_t index, const LineAnswer& answer, double now);
  const std::vector<store::BatchResult>& pending() const noexcept { return pending_; }
  // They are in the database.
  void set_kept();
  void cancel_running();

  std::size_t running() const noexcept { return running_.size(); }
  bool is_all_answered() const noexcept { return is_read_ && answered_ == input_.lines.size(); }
  bool has_expired(double now) const noexcept { return now >= deadline_; }
  // Writes the output and error files from the kept answers, in the order of the input. Lines
  // without one go to the error file with `code`, unless the batch never started.
  Result<store::Batches::Ending> write_files(const store::Batches& batches, FileStore& files,
                                             store::BatchState state, const char* code) const;

 private:
  Result<BatchLineContent> content_of(std::size_t index) const;
  std::string request_id(std::size_t index) const;
  std::optional<std::size_t> next_index(double now);

  struct Running {
    LineRequest request;  // without its body
    // The executor's: a ticket that it lets go must come to its end.
    std::weak_ptr<LineTicket> ticket;
  };
  struct Later {
    std::size_t index;
    double not_before;
  };

  store::BatchRow row_;
  BatchInputLimits limits_;
  double deadline_;
  double retry_at_ = 0;
  bool is_read_ = false;
  std::optional<FileContent> content_;
  BatchInput input_;
  std::vector<std::uint32_t> order_;
  std::size_t next_ = 0;  // in order_
  std::vector<bool> is_answered_;
  std::size_t answered_ = 0;
  std::vector<Later> later_;
  std::map<std::size_t, Running> running_;
  std::vector<store::BatchResult> pending_;
};

}  // namespace paring::serve
