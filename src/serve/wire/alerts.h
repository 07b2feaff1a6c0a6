// SPDX-License-Identifier: Apache-2.0
// GET /v1/alerts: how objectives stand, their alerts, and who was told; and silences. Functions are
// stateless.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "monitor/alert_sinks.h"
#include "monitor/slo_board.h"
#include "serve/api_error.h"
#include "serve/wire/shape.h"
#include "serve/wire/wire_rules.h"

namespace paring::serve::wire {

// As people read it; without objectives all else is empty.
struct AlertsView {
  double now_s = 0;
  std::vector<monitor::SloStanding> objectives;
  std::vector<monitor::AlertChange> changes;  // oldest first
  std::vector<monitor::AlertSinkStats> sinks;
};
std::string alerts_answer(const AlertsView& view);
const Shape& alerts_answer_shape();

struct SilenceCall {
  double seconds = 0;  // 0: no longer
  std::string comment;
};
ApiResult<SilenceCall> read_silence(std::string_view body, const WireRules& rules);
const Shape& silence_request();
std::string silence_answer(const std::string& objective, double until_s);
const Shape& silence_answer_shape();

}  // namespace paring::serve::wire
