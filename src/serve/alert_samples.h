// SPDX-License-Identifier: Apache-2.0
// Metrics of objectives and alerts. Stateless.
#pragma once

#include <vector>

#include "monitor/alerts.h"
#include "serve/metrics_text.h"

namespace paring::serve {

// Samples of a name stand behind each other.
std::vector<MetricSample> alert_samples(const monitor::Alerts& alerts);

}  // namespace paring::serve
