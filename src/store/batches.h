// SPDX-License-Identifier: Apache-2.0
// The tables of batches: their state, and the answers of their lines until the output files are
// written. A function here is one step of a batch's life and one transaction; a step that the
// present state does not allow changes nothing. Thread-safe.
//
//   validating -> in_progress -> finalizing -> completed | expired
//   validating -> failed;  validating, in_progress -> cancelling -> cancelled
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/control_db.h"
#include "store/files.h"

namespace paring::store {

// enumerator, name as the API has it
#define PARING_BATCH_STATES(X)  \
  X(kValidating, "validating")  \
  X(kFailed, "failed")          \
  X(kInProgress, "in_progress") \
  X(kFinalizing, "finalizing")  \
  X(kCompleted, "completed")    \
  X(kExpired, "expired")        \
  X(kCancelling, "cancelling")  \
  X(kCancelled, "cancelled")

enum class BatchState : std::uint8_t {
#define PARING_X(name, text) name,
  PARING_BATCH_STATES(PARING_X)
#undef PARING_X
};
const char* batch_state_name(BatchState state) noexcept;

struct BatchUsage {
  std::int64_t input_tokens = 0;
  std::int64_t cached_tokens = 0;  // of the input
  std::int64_t output_tokens = 0;
  std::int64_t reasoning_tokens = 0;  // of the output
};

struct BatchRow {
  std::string id;  // "batch_..."
  std::string tenant;
  std::string key_id;  // who made it
  std::string endpoint;
  std::string input_file_id;
  std::string completion_window;
  std::optional<std::string> metadata;  // a JSON object
  BatchState state = BatchState::kValidating;
  std::optional<std::string> model;
  std::optional<std::string> errors;  // a JSON array
  std::optional<std::string> output_file_id;
  std::optional<std::string> error_file_id;
  std::int64_t total = 0;
  std::int64_t completed = 0;
  std::int64_t failed = 0;
  BatchUsage usage;
  std::int64_t created_s = 0;
  std::int64_t expires_s = 0;
  std::optional<std::int64_t> in_progress_s;
  std::optional<std::int64_t> finalizing_s;
  std::optional<std::int64_t> completed_s;
  std::optional<std::int64_t> failed_s;
  std::optional<std::int64_t> expired_s;
  std::optional<std::int64_t> cancelling_s;
  std::optional<std::int64_t> cancelled_s;
};

struct BatchResult {
  std::int64_t line = 0;  // of the input file, from 1
  bool is_failed = false;
  std::string body;  // the line of the output or error file, without its newline
  BatchUsage usage;  // not read back
};

class Batches {
 public:
  explicit Batches(const ControlDb& control) : control_(control) {}

  // A new one: the fields up to `metadata`, created_s and expires_s count. Exhausted when the
  // tenant has `open_max` that have not ended.
  Result<void> insert(const BatchRow& batch, std::int64_t open_max) const;
  Result<std::optional<BatchRow>> find(std::string_view tenant, std::string_view id) const;
  // NotFound when `page.after` is no batch of the tenant.
  Result<Page<BatchRow>> list(std::string_view tenant, const PageRequest& page) const;
  // What has not ended: the oldest of each tenant, then their second ones, and so on up to
  // `of_tenant`; `limit` in all.
  Result<std::vector<BatchRow>> open(std::int64_t of_tenant, std::int64_t limit) const;

  // Each tells whether the state allowed it.
  Result<bool> start(std::string_view id, std::int64_t total, std::string_view model,
                     std::int64_t now_s) const;
  Result<bool> fail(std::string_view id, std::string_view errors, std::int64_t now_s) const;
  Result<bool> begin_finalizing(std::string_view id, std::int64_t now_s) const;
  // NotFound; false when it has ended or is ending.
  Result<bool> cancel(std::string_view tenant, std::string_view id, std::int64_t now_s) const;

  // Keeps answers of lines, each at most once: a line that has one is left as it is. Returns how
  // many were new.
  Result<std::int64_t> add_results(std::string_view id,
                                   const std::vector<BatchResult>& results) const;
  // Lines above `after`, in their order, at most `limit`.
  Result<std::vector<BatchResult>> results(std::string_view id, std::int64_t after,
                                           std::int64_t limit) const;
  // Numbers of all lines that have an answer, ascending.
  Result<std::vector<std::int64_t>> answered(std::string_view id) const;

  // The end of a batch that is finalizing (to kCompleted or kExpired) or cancelling (to
  // kCancelled): its files appear, `failed` grows by `unanswered`, the kept answers go. False when
  // it had ended before; then the files do not appear.
  struct Ending {
    BatchState state = BatchState::kCompleted;
    std::optional<FileRow> output;
    std::optional<FileRow> errors;
    std::int64_t unanswered = 0;
  };
  Result<bool> finish(std::string_view id, const Ending& ending, std::int64_t now_s) const;

 private:
  const ControlDb& control_;
};

}  // namespace paring::store
