// SPDX-License-Identifier: Apache-2.0
#include "monitor/traffic_writer.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"

namespace paring::monitor {

namespace {

constexpr const char* kModeNames[] = {
#define PARING_X(name, text) text,
    PARING_TRAFFIC_MODES(PARING_X)
#undef PARING_X
};

constexpr const char* kDropNames[] = {
#define PARING_X(name, text) #text,
    PARING_TRAFFIC_DROPS(PARING_X)
#undef PARING_X
};

Counter& counter_of(TrafficDrop reason) {
  switch (reason) {
#define PARING_X(name, text) \
  case TrafficDrop::name:    \
    return metrics().traffic_dropped_##text;
    PARING_TRAFFIC_DROPS(PARING_X)
#undef PARING_X
  }
  return metrics().traffic_dropped_io;
}

TrafficDrop reason_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::kExhausted:
      return TrafficDrop::kDiskFull;
    case ErrorCode::kUnavailable:
      return TrafficDrop::kLocked;
    case ErrorCode::kCorrupt:
      return TrafficDrop::kDamaged;
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kUnsupported:
    case ErrorCode::kInternal:
      return TrafficDrop::kRefused;
    default:
      return TrafficDrop::kIo;
  }
}

std::int64_t bytes_of(const store::TrafficRequest& request) {
  if (!request.content) return 0;
  return static_cast<std::int64_t>(request.content->prompt.size() + request.content->answer.size());
}

double now_seconds() { return system_clock().monotonic_seconds(); }

}  // namespace

const char* traffic_mode_name(TrafficMode mode) noexcept {
  return kModeNames[static_cast<std::size_t>(mode)];
}

std::optional<TrafficMode> traffic_mode_of(std::string_view name) noexcept {
  const auto found = std::ranges::find(kModeNames, name);
  if (found == std::end(kModeNames)) return std::nullopt;
  return static_cast<TrafficMode>(found - std::begin(kModeNames));
}

const char* traffic_drop_name(TrafficDrop reason) noexcept {
  return kDropNames[static_cast<std::size_t>(reason)];
}

std::int64_t TrafficWriter::Stats::dropped_in_all() const noexcept {
  std::int64_t all = 0;
  for (const std::int64_t each : dropped) all += each;
  return all;
}

TrafficWriter::TrafficWriter(const store::TrafficDb& traffic, const Options& options)
    : TrafficWriter(
          [&traffic](std::span<const store::TrafficRequest> rows,
                     const store::TrafficDb::Append& how) { return traffic.append(rows, how); },
          options) {}

TrafficWriter::TrafficWriter(Append append, const Options& options)
    : append_(std::move(append)),
      options_(options),
      ring_(options.ring_slots),
      wake_descriptor_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  PARING_CHECK(options.batch_rows > 0, "a batch has rows");
  // Without a descriptor left it looks at the ring each flush_seconds instead of being woken.
  if (wake_descriptor_ < 0) log_warning("rows of traffic are written late: no descriptor is left");
  rows_.reserve(options_.batch_rows);
  items_.reserve(options_.batch_rows);
  thread_ = Thread(thread_names::kTraffic, [this] { run(); });
}

TrafficWriter::~TrafficWriter() {
  is_stopping_ = true;
  wake();
  thread_.join();
  if (wake_descriptor_ >= 0) ::close(wake_descriptor_);
}

bool TrafficWriter::record(store::TrafficRequest request) {
  Item item{std::move(request), {}, 0};
  if (options_.mode != TrafficMode::kSync) return offer(item);
  struct Answer {
    std::mutex mutex;
    std::condition_variable is_there;
    std::optional<bool> is_stored;
  } answer;
  item.done = [&answer](bool is_stored) {
    // Under the lock to the end: the one who waits takes `answer` away.
    const std::lock_guard lock(answer.mutex);
    answer.is_stored = is_stored;
    answer.is_there.notify_one();
  };
  if (!offer(item)) return false;
  std::unique_lock lock(answer.mutex);
  answer.is_there.wait(lock, [&] { return answer.is_stored.has_value(); });
  return *answer.is_stored;
}

void TrafficWriter::record(store::TrafficRequest request, Done done) {
  Item item{std::move(request), std::move(done), 0};
  if (!offer(item) && item.done) item.done(false);
}

bool TrafficWriter::offer(Item& item) {
  offered_ += 1;
  item.content_bytes = bytes_of(item.request);
  if (item.content_bytes > 0 &&
      (content_bytes_ += item.content_bytes) > options_.content_bytes_max) {
    content_bytes_ -= std::exchange(item.content_bytes, 0);
    drop_content(item.request, TrafficDrop::kRingFull);
  }
  if (!ring_.push(item)) {
    content_bytes_ -= item.content_bytes;
    drop(ring_full_because_);
    return false;
  }
  const std::int64_t pushed = ++pushed_;
  if (is_idle_ || options_.mode == TrafficMode::kSync ||
      pushed % static_cast<std::int64_t>(options_.batch_rows) == 0) {
    wake();
  }
  return true;
}

void TrafficWriter::drop(TrafficDrop reason) {
  dropped_[static_cast<std::size_t>(reason)] += 1;
  counter_of(reason).add();
}

void TrafficWriter::drop_content(store::TrafficRequest& request, TrafficDrop reason) {
  request.content.reset();
  content_dropped_ += 1;
  if (reason == TrafficDrop::kDiskFull) {
    metrics().traffic_content_dropped_disk_full.add();
  } else if (reason == TrafficDrop::kRefused) {
    metrics().traffic_content_dropped_not_redacted.add();
  } else {
    metrics().traffic_content_dropped_ring_full.add();
  }
}

void TrafficWriter::wake() noexcept {
  const std::uint64_t one = 1;
  // When it is refused, the writer has as many calls to answer as fit.
  [[maybe_unused]] const ssize_t written = ::write(wake_descriptor_, &one, sizeof(one));
}

bool TrafficWriter::flush(double seconds) {
  const std::int64_t to = pushed_;
  std::int64_t before = flush_to_;
  while (before < to && !flush_to_.compare_exchange_weak(before, to)) {
  }
  wake();
  std::unique_lock lock(settled_mutex_);
  return settled_changed_.wait_for(lock, std::chrono::duration<double>(seconds),
                                   [&] { return settled_ >= to; });
}

TrafficWriter::Stats TrafficWriter::stats() const {
  Stats stats;
  // What is settled first: then `pending` is never negative.
  stats.stored = stored_;
  for (std::size_t i = 0; i < kTrafficDrops; ++i) stats.dropped[i] = dropped_[i];
  stats.content_dropped = content_dropped_;
  stats.offered = offered_;
  stats.pending = stats.offered - stats.stored - stats.dropped_in_all();
  return stats;
}

std::int64_t TrafficWriter::loss_rows_max() const noexcept {
  if (options_.mode == TrafficMode::kSync) return 0;
  return static_cast<std::int64_t>(ring_.slots() + options_.batch_rows);
}

void TrafficWriter::run() {
  for (;;) {
    const bool is_last = is_stopping_;
    const bool has_taken = take();
    // A batch that was held leaves the ring no way out: at the end it has to go first.
    const bool is_empty = rows_.empty() && !has_taken;
    const double now = now_seconds();
    if (!rows_.empty() && (is_last || is_due(now))) write(now);
    if (is_last) {
      give_up();
      if (is_empty) return;
      continue;
    }
    // After a whole batch there may be more.
    if (has_taken && rows_.empty()) continue;
    wait(now_seconds());
  }
}

bool TrafficWriter::take() {
  const std::int64_t before = taken_;
  while (rows_.size() < options_.batch_rows) {
    std::optional<Item> item = ring_.pop();
    if (!item) break;
    if (rows_.empty()) oldest_at_ = now_seconds();
    ++taken_;
    store::TrafficRequest& request = item->request;
    prepare(request);
    rows_.push_back(std::move(request));
    items_.push_back(std::move(*item));
  }
  return taken_ > before;
}

// Making content ready takes far longer than a row: where the ring fills meanwhile, rows go
// without.
void TrafficWriter::prepare(store::TrafficRequest& request) {
  if (!options_.prepare || !request.content) return;
  const bool is_behind = pushed_ - taken_ > static_cast<std::int64_t>(ring_.slots() / 2);
  if (is_behind) {
    drop_content(request, TrafficDrop::kRingFull);
  } else if (!options_.prepare(*request.content)) {
    drop_content(request, TrafficDrop::kRefused);
  }
}

bool TrafficWriter::is_due(double now) const {
  if (try_again_at_) return now >= *try_again_at_;
  return options_.mode == TrafficMode::kSync || rows_.size() >= options_.batch_rows ||
         now - oldest_at_ >= options_.flush_seconds || taken_ <= flush_to_;
}

void TrafficWriter::write(double now) {
  // Once more, without the content that did not fit.
  if (write_once(now)) (void)write_once(now);
}

bool TrafficWriter::write_once(double now) {
  const auto durability = options_.mode == TrafficMode::kAsync ? store::TrafficDurability::kProcess
                                                               : store::TrafficDurability::kPower;
  const store::TrafficAppended done = append_(rows_, {.durability = durability});
  std::vector<const Error*> errors(rows_.size(), nullptr);
  for (const store::TrafficAppended::Failure& failure : done.failures) {
    for (const std::size_t place : failure.rows) errors[place] = &failure.error;
  }
  const Error* last_error = nullptr;
  bool is_lighter = false;
  std::size_t held = 0;
  for (std::size_t i = 0; i < rows_.size(); ++i) {
    if (errors[i] == nullptr) {
      settle(i, std::nullopt);
      continue;
    }
    last_error = errors[i];
    const TrafficDrop reason = reason_of(last_error->code);
    const bool can_shed = reason == TrafficDrop::kDiskFull && rows_[i].content.has_value();
    if (can_shed) drop_content(rows_[i], reason);
    is_lighter = is_lighter || can_shed;
    // Somebody waits for a row of kSync, so it is not held.
    if (reason == TrafficDrop::kRefused || (options_.mode == TrafficMode::kSync && !can_shed)) {
      settle(i, reason);
      continue;
    }
    ring_full_because_ = reason;
    if (held != i) {
      rows_[held] = std::move(rows_[i]);
      items_[held] = std::move(items_[i]);
    }
    ++held;
  }
  rows_.resize(held);
  items_.resize(held);
  try_again_at_.reset();
  if (held > 0) {
    try_again_at_ = now + options_.retry_seconds;
  } else {
    ring_full_because_ = TrafficDrop::kRingFull;
  }
  const bool was_well = std::exchange(is_well_, last_error == nullptr);
  if (was_well && !is_well_) log_warning("rows of traffic: " + last_error->text());
  if (!was_well && is_well_) log_info("rows of traffic are written again");
  return is_lighter;
}

void TrafficWriter::settle(std::size_t place, std::optional<TrafficDrop> dropped) {
  Item& item = items_[place];
  content_bytes_ -= item.content_bytes;
  if (dropped) {
    drop(*dropped);
  } else {
    stored_ += 1;
    metrics().traffic_rows.add();
  }
  if (item.done) item.done(!dropped);
  const std::lock_guard lock(settled_mutex_);
  ++settled_;
  settled_changed_.notify_all();
}

void TrafficWriter::give_up() {
  for (std::size_t i = 0; i < rows_.size(); ++i) settle(i, ring_full_because_.load());
  rows_.clear();
  items_.clear();
}

void TrafficWriter::wait(double now) {
  double seconds = options_.flush_seconds;
  if (try_again_at_) {
    seconds = *try_again_at_ - now;
  } else if (!rows_.empty()) {
    seconds = oldest_at_ + options_.flush_seconds - now;
  }
  is_idle_ = rows_.empty();
  const bool is_nothing_there = rows_.empty() && taken_ == pushed_ && !is_stopping_;
  int timeout_ms = static_cast<int>(std::clamp(std::ceil(seconds * 1000), 0.0, 1e6));
  if (is_nothing_there && wake_descriptor_ >= 0) timeout_ms = -1;
  pollfd awaited{wake_descriptor_, POLLIN, 0};
  ::poll(&awaited, 1, timeout_ms);
  is_idle_ = false;
  std::uint64_t calls = 0;
  [[maybe_unused]] const ssize_t read = ::read(wake_descriptor_, &calls, sizeof(calls));
}

}  // namespace paring::monitor
