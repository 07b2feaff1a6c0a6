// SPDX-License-Identifier: Apache-2.0
// SloBoard: objectives, how they stand, and the alerts of each. What happens is told to it with
// its time; nothing happens by itself. Memory is bounded by kObjectivesMax and kAlertChangesMax.
// Thread-safe.
//
//   SloBoard board(objectives, clock.wall_seconds());
//   board.observe(row, now);                                      // each request
//   for (AlertNotice& notice : board.evaluate(now)) send(notice); // each few seconds
#pragma once

#include <cstddef>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "monitor/alert_state.h"
#include "monitor/slo.h"
#include "monitor/slo_window.h"

namespace paring::monitor {

inline constexpr std::size_t kAlertChangesMax = 256;
inline constexpr double kSilenceSecondsMax = 30 * kDaySeconds;

struct BurnStanding {
  BurnRule rule;
  double long_rate = 0;
  double short_rate = 0;
  double long_events = 0;
  double short_events = 0;
};

using AlertLabels = std::map<std::string, std::string>;

struct AlertStanding {
  std::string name;  // within the objective: "burn-1h", "no-data", "exhausted"
  AlertLabels labels;
  AlertStatus status;
  double value = 0;  // what is held to `limit`: a burn rate, seconds, a part of the budget
  double limit = 0;
  bool is_told = false;  // somebody was told that it fires, and not yet that it does not
};

struct SloStanding {
  Slo slo;
  SloSum sum;                   // of the window; of a budget, of the day or month
  SloSum ever;                  // since it has been counted
  double left = 1;              // of the error budget, see budget_left()
  double last_event_s = 0;      // 0: none
  double silenced_until_s = 0;  // 0: it is not
  std::string silence_comment;
  double told_s = 0;  // the last notice; 0: none
  std::vector<BurnStanding> burns;
  std::vector<AlertStanding> alerts;
};

struct AlertChange {
  double at_s = 0;
  std::string objective;
  std::string alert;
  AlertState from = AlertState::kInactive;
  AlertState to = AlertState::kInactive;
  double value = 0;
  double limit = 0;
};

// What receivers are told of an objective: all that fires, and what does not any more.
struct AlertNotice {
  struct Alert {
    bool is_firing = false;
    AlertLabels labels;
    AlertLabels annotations;
    double starts_s = 0;
    double ends_s = 0;  // 0: it fires
  };
  std::string objective;
  std::vector<Alert> alerts;
  bool is_firing() const noexcept;
};

// The state of a board as it is kept over a restart.
struct SloMemory {
  struct Objective {
    std::string name;
    std::string identity;  // slo_identity()
    std::vector<SloRing::Cell> minutes;
    std::vector<SloRing::Cell> hours;
    SloSum ever;
    double last_event_s = 0;
    double silenced_until_s = 0;
    std::string silence_comment;
    double told_s = 0;
    struct Alert {
      std::string name;
      AlertStatus status;
      bool is_told = false;
    };
    std::vector<Alert> alerts;
  };
  double at_s = 0;
  std::vector<Objective> objectives;
  std::vector<AlertChange> changes;
};

class SloBoard {
 public:
  // REQUIRES: check_slo() holds for each, and no name comes twice; at most kObjectivesMax.
  SloBoard(std::vector<Slo> objectives, double now_s);
  ~SloBoard();
  SloBoard(const SloBoard&) = delete;
  SloBoard& operator=(const SloBoard&) = delete;

  // A request counts in the minute it ended in; what is ahead of `now_s`, now.
  void observe(const store::TrafficRequest& row, double now_s) noexcept;
  void observe(const SloScore& score, double now_s) noexcept;

  // Alerts as they are now. Returns who is to be told of what; they count as told.
  std::vector<AlertNotice> evaluate(double now_s);
  std::vector<SloStanding> standings(double now_s) const;
  // The last kAlertChangesMax, oldest first.
  std::vector<AlertChange> changes() const;
  std::size_t changes_ever() const;
  bool has(std::string_view objective) const noexcept;
  // Nobody is told of this objective until then; 0: from now on they are. NotFound; InvalidArgument
  // for more than kSilenceSecondsMax from now.
  Result<void> silence(std::string_view objective, double until_s, std::string comment,
                       double now_s);

  SloMemory remember(double now_s) const;
  // Before anything is observed. What is not an objective any more, or is another one by the same
  // name, is left out: their names. With `counts_until_s`, counts of later minutes are left out as
  // well: they come again by observe().
  std::vector<std::string> recall(const SloMemory& memory, std::optional<double> counts_until_s);

 private:
  struct Objective;
  void count(Objective& objective, double time_s, double now_s, double bad) noexcept;
  void step(Objective& objective, double now_s);
  std::optional<AlertNotice> notice_of(Objective& objective, double now_s);

  std::vector<std::unique_ptr<Objective>> objectives_;
  mutable std::mutex alerts_mutex_;  // guards alerts of objectives, and the following
  std::deque<AlertChange> changes_;
  std::size_t changes_ever_ = 0;
};

// "3d", "6h", "30m", "90s".
std::string window_text(double seconds);

}  // namespace paring::monitor
