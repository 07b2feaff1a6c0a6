// SPDX-License-Identifier: Apache-2.0
// Metrics in Prometheus' text format, version 0.0.4 (its documentation, "Exposition formats").
// Stateless.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/metrics.h"

namespace paring::serve {

inline constexpr const char* kMetricsContentType = "text/plain; version=0.0.4; charset=utf-8";

// A value that is read when asked, with labels.
struct MetricSample {
  std::string name;
  std::string help;
  std::vector<std::pair<std::string, std::string>> labels;
  double value = 0;
};

// Rows of one family (the name before '{', which may hold labels) stand behind each other; so do
// gauges of one name.
std::string metrics_text(std::span<const MetricRow> rows, std::span<const MetricSample> gauges);

}  // namespace paring::serve
