// SPDX-License-Identifier: Apache-2.0
// The states of an alert and when it goes from one to the next. Pure: time is given.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace paring::monitor {

// enumerator, name in APIs
#define PARING_ALERT_STATES(X)                                     \
  X(kInactive, "inactive")                                         \
  X(kPending, "pending") /* danger, but not for long enough yet */ \
  X(kFiring, "firing")                                             \
  X(kResolved, "resolved") /* fired lately; inactive a day later */

enum class AlertState : std::uint8_t {
#define PARING_X(name, text) name,
  PARING_ALERT_STATES(PARING_X)
#undef PARING_X
};
const char* alert_state_name(AlertState state) noexcept;
std::optional<AlertState> alert_state_of(std::string_view name) noexcept;

// What is seen now. Between danger and calm (above where it would be over, below where it would
// begin, or nothing to see) an alert stays what it is.
enum class AlertSign : std::uint8_t { kCalm, kUnclear, kDanger };

struct AlertTimes {
  double fire_after_s = 0;
  double resolve_after_s = 0;
};

struct AlertStatus {
  AlertState state = AlertState::kInactive;
  double since_s = 0;              // of the state
  double fired_s = 0;              // when it fired last; 0: never
  double resolved_s = 0;           // when that was over; 0: it is not, or never fired
  std::optional<double> calm_s{};  // firing, but calm since then
};

inline constexpr double kResolvedSeconds = 86400;

// Goes on to the state of `now_s`. Whether it is another one.
bool step_alert(AlertStatus& status, AlertSign sign, const AlertTimes& times, double now_s);

}  // namespace paring::monitor
