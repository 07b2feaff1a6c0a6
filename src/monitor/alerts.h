// SPDX-License-Identifier: Apache-2.0
// Alerts: objectives that requests are held to, on a thread that looks at them every few seconds,
// tells who is to be told, and keeps their state in a file, so that a restart loses nothing of it.
// A server has one. Thread-safe.
//
//   PARING_TRY(auto alerts, monitor::Alerts::start({.objectives = slos, .file = path}, db));
//   alerts->observe(row);
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/thread.h"
#include "monitor/alert_sinks.h"
#include "monitor/slo_board.h"
#include "store/traffic.h"

namespace paring::monitor {

// What --slo says.
struct AlertOptions {
  std::vector<Slo> objectives{};
  AlertSinks::Options sinks{};
  double evaluate_seconds = 10;  // between two looks
};

// Of the server's data folder.
inline constexpr const char* kAlertsFile = "alerts.json";

class Alerts {
 public:
  struct Options {
    AlertOptions alerts{};
    std::string file{};         // of the state; empty: none
    double save_seconds = 300;  // and when an alert changes, and at the end
  };
  // With `traffic`, requests that ended after the state was last written count again from their
  // rows. Errors of AlertSinks::start(). A file that cannot be read is moved aside.
  static Result<std::unique_ptr<Alerts>> start(const Options& options,
                                               const store::TrafficDb* traffic,
                                               const Clock& clock = system_clock());
  // With sinks of one's own.
  Alerts(const Options& options, std::unique_ptr<AlertSinks> sinks, const store::TrafficDb* traffic,
         const Clock& clock);
  // Sinks get a little time; who could not be told is told after the next start.
  ~Alerts();
  Alerts(const Alerts&) = delete;
  Alerts& operator=(const Alerts&) = delete;

  void observe(const store::TrafficRequest& row) noexcept {
    board_.observe(row, clock_.wall_seconds());
  }
  void observe(const SloScore& score) noexcept { board_.observe(score, clock_.wall_seconds()); }
  // What the thread does every evaluate_seconds.
  void look();
  Result<void> silence(std::string_view objective, double seconds, std::string comment);

  bool has(std::string_view objective) const { return board_.has(objective); }
  std::vector<SloStanding> standings() const { return board_.standings(clock_.wall_seconds()); }
  std::vector<AlertChange> changes() const { return board_.changes(); }
  std::vector<AlertSinkStats> sinks() const { return sinks_->stats(); }
  double now_s() const { return clock_.wall_seconds(); }

  // Requests that run longer than this across a restart may be missing in the counts.
  static constexpr double kLongestRequestSeconds = 3600;
  // Within which a request is observed after it has ended.
  static constexpr double kObservedSeconds = 60;
  static constexpr std::int64_t kRecalledRowsMax = 1'000'000;

 private:
  void run();
  void save(const std::set<std::string>& untold);
  void recall(const store::TrafficDb* traffic);
  void recount(const store::TrafficDb& traffic, double from_s);

  const Options options_;
  const Clock& clock_;
  SloBoard board_;
  std::unique_ptr<AlertSinks> sinks_;
  double saved_s_ = 0;  // monotonic; of the thread, as is the following
  std::size_t saved_changes_ = 0;
  std::set<std::string> saved_waiting_;
  std::mutex save_mutex_;  // one writes at a time
  std::mutex mutex_;
  std::condition_variable changed_;
  bool is_stopping_ = false;  // guarded by mutex_
  Thread thread_;
};

}  // namespace paring::monitor
