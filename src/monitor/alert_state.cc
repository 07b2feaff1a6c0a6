// SPDX-License-Identifier: Apache-2.0
#include "monitor/alert_state.h"

#include <cstddef>

namespace paring::monitor {

namespace {

constexpr const char* kNames[] = {
#define PARING_X(name, text) text,
    PARING_ALERT_STATES(PARING_X)
#undef PARING_X
};

void enter(AlertStatus& status, AlertState state, double now_s) {
  status.state = state;
  status.since_s = now_s;
  status.calm_s.reset();
  if (state == AlertState::kFiring) {
    status.fired_s = now_s;
    status.resolved_s = 0;
  }
  if (state == AlertState::kResolved) status.resolved_s = now_s;
}

// Firing: whether it is over.
bool is_over(AlertStatus& status, AlertSign sign, double resolve_after_s, double now_s) {
  if (sign != AlertSign::kCalm) {
    status.calm_s.reset();
    return false;
  }
  if (!status.calm_s) status.calm_s = now_s;
  return now_s - *status.calm_s >= resolve_after_s;
}

}  // namespace

const char* alert_state_name(AlertState state) noexcept {
  return kNames[static_cast<std::size_t>(state)];
}

std::optional<AlertState> alert_state_of(std::string_view name) noexcept {
  for (std::size_t i = 0; i < std::size(kNames); ++i) {
    if (name == kNames[i]) return static_cast<AlertState>(i);
  }
  return std::nullopt;
}

bool step_alert(AlertStatus& status, AlertSign sign, const AlertTimes& times, double now_s) {
  const AlertState before = status.state;
  const bool is_danger = sign == AlertSign::kDanger;
  switch (status.state) {
    case AlertState::kFiring:
      if (is_over(status, sign, times.resolve_after_s, now_s)) {
        enter(status, AlertState::kResolved, now_s);
      }
      break;
    case AlertState::kPending:
      if (!is_danger) {
        enter(status, AlertState::kInactive, now_s);
      } else if (now_s - status.since_s >= times.fire_after_s) {
        enter(status, AlertState::kFiring, now_s);
      }
      break;
    case AlertState::kResolved:
    case AlertState::kInactive:
      if (is_danger) {
        enter(status, times.fire_after_s > 0 ? AlertState::kPending : AlertState::kFiring, now_s);
      } else if (status.state == AlertState::kResolved &&
                 now_s - status.since_s >= kResolvedSeconds) {
        enter(status, AlertState::kInactive, now_s);
      }
      break;
  }
  return status.state != before;
}

}  // namespace paring::monitor
