// SPDX-License-Identifier: Apache-2.0
#include "monitor/traffic.h"

#include <chrono>
#include <utility>

#include "base/log.h"

namespace paring::monitor {

namespace {

constexpr double kDaySeconds = 24 * Traffic::kHourSeconds;

}  // namespace

Result<std::unique_ptr<Traffic>> Traffic::open(const Options& options, const Clock& clock) {
  PARING_TRY(store::TrafficDb db,
             store::TrafficDb::open({.data = options.data, .project = options.project}));
  std::unique_ptr<Traffic> traffic(new Traffic(std::move(db), options, clock));
  traffic->thread_ = Thread(thread_names::kRetention, [itself = traffic.get()] { itself->run(); });
  return traffic;
}

Traffic::Traffic(store::TrafficDb db, const Options& options, const Clock& clock)
    : db_(std::move(db)),
      clock_(clock),
      writer_(db_, options.writer),
      retention_(options.retention) {}

Traffic::~Traffic() {
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Traffic::set_retention(const TrafficRetention& retention) {
  {
    const std::lock_guard lock(mutex_);
    retention_ = retention;
    is_due_ = true;
  }
  changed_.notify_all();
}

void Traffic::remove_old() {
  TrafficRetention retention;
  {
    const std::lock_guard lock(mutex_);
    retention = retention_;
  }
  const double now = clock_.wall_seconds();
  const auto before = [now](std::int64_t days) {
    return now - static_cast<double>(days) * kDaySeconds;
  };
  if (retention.days > 0) {
    const auto removed = db_.remove_before(before(retention.days));
    if (!removed) log_error("old traffic stays: " + removed.error().text());
  }
  if (retention.content_days > 0) {
    const auto removed = db_.content_remove_before(before(retention.content_days));
    if (!removed) log_error("old prompts and answers stay: " + removed.error().text());
  }
}

void Traffic::run() {
  std::unique_lock lock(mutex_);
  while (!is_stopping_) {
    is_due_ = false;
    lock.unlock();
    remove_old();
    lock.lock();
    changed_.wait_for(lock, std::chrono::duration<double>(kHourSeconds),
                      [this] { return is_stopping_ || is_due_; });
  }
}

}  // namespace paring::monitor
