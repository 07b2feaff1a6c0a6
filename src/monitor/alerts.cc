// SPDX-License-Identifier: Apache-2.0
#include "monitor/alerts.h"

#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <filesystem>
#include <set>
#include <system_error>
#include <utility>

#include "base/log.h"
#include "base/text.h"
#include "monitor/slo_memory.h"

namespace paring::monitor {

namespace {

constexpr std::string_view kThreadName = "paring-alerts";
constexpr std::int64_t kPageRows = 1000;

// Rows of ours have a route; spans that others sent were not observed.
bool is_observed(const store::TrafficRequest& row) { return row.route.starts_with('/'); }

void move_aside(const std::string& path) {
  std::error_code error;
  std::filesystem::rename(path, path + ".damaged", error);
  if (error) log_warning(fmt::format("{} could not be moved aside: {}", path, error.message()));
}

}  // namespace

Result<std::unique_ptr<Alerts>> Alerts::start(const Options& options,
                                              const store::TrafficDb* traffic, const Clock& clock) {
  PARING_TRY(std::unique_ptr<AlertSinks> sinks, AlertSinks::start(options.alerts.sinks));
  return std::make_unique<Alerts>(options, std::move(sinks), traffic, clock);
}

Alerts::Alerts(const Options& options, std::unique_ptr<AlertSinks> sinks,
               const store::TrafficDb* traffic, const Clock& clock)
    : options_(options),
      clock_(clock),
      board_(options.alerts.objectives, clock.wall_seconds()),
      sinks_(std::move(sinks)) {
  recall(traffic);
  saved_s_ = clock_.monotonic_seconds();
  saved_changes_ = board_.changes_ever();
  thread_ = Thread(kThreadName, [this] { run(); });
}

Alerts::~Alerts() {
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
    changed_.notify_all();
  }
  thread_.join();
  save(sinks_->stop());
}

void Alerts::run() {
  std::unique_lock lock(mutex_);
  while (!is_stopping_) {
    lock.unlock();
    look();
    lock.lock();
    changed_.wait_for(lock, std::chrono::duration<double>(options_.alerts.evaluate_seconds),
                      [&] { return is_stopping_; });
  }
}

void Alerts::look() {
  const std::vector<AlertNotice> notices = board_.evaluate(clock_.wall_seconds());
  for (const AlertNotice& notice : notices) sinks_->send(notice);
  const std::size_t changes = board_.changes_ever();
  const double now = clock_.monotonic_seconds();
  // Who was told after a while must not be told again after a restart.
  std::set<std::string> waiting = sinks_->waiting();
  if (notices.empty() && changes == saved_changes_ && waiting == saved_waiting_ &&
      now - saved_s_ < options_.save_seconds) {
    return;
  }
  saved_changes_ = changes;
  saved_s_ = now;
  save(waiting);
  saved_waiting_ = std::move(waiting);
}

Result<void> Alerts::silence(std::string_view objective, double seconds, std::string comment) {
  const double now = clock_.wall_seconds();
  PARING_TRY_VOID(board_.silence(objective, now + seconds, std::move(comment), now));
  save(sinks_->waiting());
  return {};
}

void Alerts::save(const std::set<std::string>& untold) {
  if (options_.file.empty()) return;
  const std::lock_guard lock(save_mutex_);
  SloMemory memory = board_.remember(clock_.wall_seconds());
  for (SloMemory::Objective& objective : memory.objectives) {
    if (!untold.contains(objective.name)) continue;
    for (SloMemory::Objective::Alert& alert : objective.alerts) {
      if (alert.status.state == AlertState::kFiring) alert.is_told = false;
      if (alert.status.state == AlertState::kResolved) alert.is_told = true;
    }
  }
  if (const auto saved = save_slo_memory(options_.file, memory); !saved) {
    log_warning("the state of alerts was not written: " + saved.error().text());
  }
}

void Alerts::recall(const store::TrafficDb* traffic) {
  if (options_.file.empty()) return;
  auto memory = load_slo_memory(options_.file);
  if (!memory) {
    log_warning("alerts begin anew: " + memory.error().text());
    return move_aside(options_.file);
  }
  if (!*memory) return;
  std::optional<double> counts_until;
  if (traffic != nullptr) {
    counts_until =
        std::floor(((*memory)->at_s - kObservedSeconds) / kMinuteSeconds) * kMinuteSeconds;
  }
  for (const std::string& name : board_.recall(**memory, counts_until)) {
    log_info(fmt::format("the objective {} is not what it was: it counts anew", name));
  }
  if (counts_until) recount(*traffic, *counts_until);
}

void Alerts::recount(const store::TrafficDb& traffic, double from_s) {
  store::TrafficFilter filter;
  filter.from_s = from_s - kLongestRequestSeconds;
  const double now = clock_.wall_seconds();
  std::string cursor;
  std::int64_t rows = 0;
  do {
    const auto page = traffic.page(filter, cursor, kPageRows);
    if (!page) {
      log_warning("requests since alerts were last written do not count: " + page.error().text());
      return;
    }
    for (const store::TrafficRequest& row : page->rows) {
      if (is_observed(row) && end_of(row) >= from_s) board_.observe(row, now);
    }
    rows += static_cast<std::int64_t>(page->rows.size());
    cursor = page->next;
  } while (!cursor.empty() && rows < kRecalledRowsMax);
}

}  // namespace paring::monitor
