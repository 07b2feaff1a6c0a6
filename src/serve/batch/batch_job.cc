// SPDX-License-Identifier: Apache-2.0
#include "serve/batch/batch_job.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "base/sha256.h"

namespace paring::serve {

namespace {

constexpr std::size_t kReadBytes = std::size_t{1} << 20;
constexpr std::int64_t kResultsAtOnce = 32;
// However long a busy server asks to wait, or little.
constexpr double kRetrySecondsMin = 0.05;
constexpr double kRetrySecondsMax = 60;

// One of the two files of a batch, made when its first line comes.
class OutputFile {
 public:
  OutputFile(FileStore& files, const store::BatchRow& batch, const char* suffix)
      : files_(files), tenant_(batch.tenant), name_(batch.id + suffix) {}

  Result<void> add(const std::string& line) {
    if (!upload_) {
      ApiResult<Upload> begun = files_.begin_output(tenant_, name_);
      if (!begun) return io_error(begun.error().message);
      upload_.emplace(std::move(*begun));
    }
    for (const std::string_view part : {std::string_view(line), std::string_view("\n")}) {
      if (const auto error = upload_->append(part)) return io_error(error->message);
    }
    return {};
  }
  // Nullopt when no line came.
  Result<std::optional<store::FileRow>> seal() {
    if (!upload_) return std::optional<store::FileRow>();
    PARING_TRY(store::FileRow row, files_.seal_output(*std::move(upload_)));
    return std::optional<store::FileRow>(std::move(row));
  }

 private:
  FileStore& files_;
  std::string tenant_;
  std::string name_;
  std::optional<Upload> upload_;
};

bool is_success(int status) noexcept { return status >= 200 && status < 300; }

}  // namespace

BatchJob::BatchJob(store::BatchRow row, const BatchInputLimits& limits, double now,
                   std::int64_t wall_s)
    : row_(std::move(row)),
      limits_(limits),
      deadline_(now + static_cast<double>(row_.expires_s - wall_s)) {}

Result<void> BatchJob::read_input(const FileStore& files, const std::function<bool()>& keep_going) {
  PARING_TRY(FileContent content, files.content_for_batch(row_.tenant, row_.input_file_id));
  content_.emplace(std::move(content));
  BatchInputReader reader(row_.endpoint, limits_);
  std::vector<char> buffer(kReadBytes);
  for (std::uint64_t offset = 0; offset < content_->bytes() && !reader.is_hopeless();) {
    if (!keep_going()) return Error{ErrorCode::kCancelled, "the server ends"};
    PARING_TRY(const std::size_t got, content_->read(offset, std::span<char>(buffer)));
    reader.append({buffer.data(), got});
    offset += got;
  }
  input_ = reader.finish();
  order_ = batch_order(input_.lines);
  is_answered_.assign(input_.lines.size(), false);
  is_read_ = true;
  return {};
}

void BatchJob::set_answered(const std::vector<std::int64_t>& numbers) {
  // Both ascend.
  std::size_t index = 0;
  for (const std::int64_t number : numbers) {
    while (index < input_.lines.size() && input_.lines[index].number < number) ++index;
    if (index == input_.lines.size() || input_.lines[index].number != number) continue;
    if (!is_answered_[index]) ++answered_;
    is_answered_[index] = true;
  }
}

Result<BatchLineContent> BatchJob::content_of(std::size_t index) const {
  const BatchLine& line = input_.lines[index];
  PARING_TRY(const std::string text, content_->read(line.offset, line.bytes));
  auto parsed = parse_batch_line(text, row_.endpoint, limits_);
  if (auto* const content = std::get_if<BatchLineContent>(&parsed)) return std::move(*content);
  return corrupt(
      fmt::format("line {} of the input file of '{}' has changed", line.number, row_.id));
}

std::string BatchJob::request_id(std::size_t index) const {
  constexpr std::size_t kLetters = 24;
  const std::string name = fmt::format("{}:{}", row_.id, input_.lines[index].number);
  return "batch_req_" + sha256_hex(name).substr(0, kLetters);
}

std::optional<std::size_t> BatchJob::next_index(double now) {
  const auto due = std::find_if(later_.begin(), later_.end(),
                                [&](const Later& later) { return later.not_before <= now; });
  if (due != later_.end()) {
    const std::size_t index = due->index;
    later_.erase(due);
    return index;
  }
  // A busy server is asked with one line, not with all of them.
  if (!later_.empty()) return std::nullopt;
  while (next_ < order_.size() && is_answered_[order_[next_]]) ++next_;
  if (next_ == order_.size()) return std::nullopt;
  return order_[next_++];
}

std::optional<Result<BatchJob::Start>> BatchJob::start_next(
    double now, const std::function<LineTicket::Finished(std::size_t)>& finished) {
  if (row_.state != store::BatchState::kInProgress || is_waiting(now)) return std::nullopt;
  const std::optional<std::size_t> index = next_index(now);
  if (!index) return std::nullopt;
  Result<BatchLineContent> content = content_of(*index);
  if (!content) {
    later_.push_back({*index, now + kRetrySecondsMax});
    return std::optional<Result<Start>>(std::move(content.error()));
  }
  Start start;
  start.request = {
      row_.id, content->custom_id, request_id(*index), row_.tenant, row_.key_id, row_.endpoint, ""};
  start.ticket = std::make_shared<LineTicket>(finished(*index));
  running_[*index] = {start.request, start.ticket};
  start.request.body = std::move(content->body);
  return std::optional<Result<Start>>(std::move(start));
}

void BatchJob::take_answer(std::size_t index, const LineAnswer& answer, double now) {
  const auto running = running_.find(index);
  if (running == running_.end()) return;
  const LineRequest request = std::move(running->second.request);
  running_.erase(running);
  if (answer.kind == LineAnswer::Kind::kTryAgain) {
    const double wait = std::clamp(answer.retry_after_seconds, kRetrySecondsMin, kRetrySecondsMax);
    later_.push_back({index, now + wait});
  }
  if (answer.kind != LineAnswer::Kind::kAnswered) return;
  pending_.push_back({input_.lines[index].number, !is_success(answer.status),
                      batch_output_line(request, answer), answer.usage});
}

void BatchJob::set_kept() {
  std::vector<std::int64_t> numbers;
  for (const store::BatchResult& result : pending_) numbers.push_back(result.line);
  std::sort(numbers.begin(), numbers.end());
  set_answered(numbers);
  pending_.clear();
}

void BatchJob::cancel_running() {
  // A callback may finish its line at once; the answer comes later, by the runner's inbox.
  for (const auto& [index, running] : running_) {
    const std::shared_ptr<LineTicket> ticket = running.ticket.lock();
    if (ticket && !ticket->is_cancelled()) ticket->cancel();
  }
}

Result<store::Batches::Ending> BatchJob::write_files(const store::Batches& batches,
                                                     FileStore& files, store::BatchState state,
                                                     const char* code) const {
  OutputFile output(files, row_, "_output.jsonl");
  OutputFile errors(files, row_, "_error.jsonl");
  store::Batches::Ending ending;
  ending.state = state;
  std::size_t index = 0;
  const auto add_unanswered_before = [&](std::int64_t number) -> Result<void> {
    if (!row_.in_progress_s) return {};
    for (; index < input_.lines.size() && input_.lines[index].number < number; ++index) {
      PARING_TRY(const BatchLineContent content, content_of(index));
      PARING_TRY_VOID(
          errors.add(batch_unanswered_line(request_id(index), content.custom_id, code)));
      ++ending.unanswered;
    }
    return {};
  };
  for (std::int64_t after = 0;;) {
    PARING_TRY(const std::vector<store::BatchResult> results,
               batches.results(row_.id, after, kResultsAtOnce));
    for (const store::BatchResult& result : results) {
      PARING_TRY_VOID(add_unanswered_before(result.line));
      PARING_TRY_VOID((result.is_failed ? errors : output).add(result.body));
      ++index;
      after = result.line;
    }
    if (static_cast<std::int64_t>(results.size()) < kResultsAtOnce) break;
  }
  constexpr std::int64_t kBehindAll = std::numeric_limits<std::int64_t>::max();
  PARING_TRY_VOID(add_unanswered_before(kBehindAll));
  PARING_TRY(ending.output, output.seal());
  PARING_TRY(ending.errors, errors.seal());
  return ending;
}

}  // namespace paring::serve
