// SPDX-License-Identifier: Apache-2.0
#include "serve/metrics_text.h"

#include <gtest/gtest.h>

namespace paring::serve {
namespace {

TEST(MetricsText, IsWhatPrometheusReads) {
  Counter stop;
  stop.add(3);
  Counter length;
  Histogram seconds{0.5, 2};
  for (const double value : {0.1, 0.2, 1.0, 5.0}) seconds.observe(value);
  const MetricRow rows[] = {{"done_total{why=\"stop\"}", "Ended", &stop, nullptr, nullptr},
                            {"done_total{why=\"length\"}", "Ended", &length, nullptr, nullptr},
                            {"wait_seconds", "Waiting\nlong", nullptr, nullptr, &seconds}};
  const MetricSample gauges[] = {{"running", "Now", {{"model", "a\"b\\c"}}, 2},
                                 {"running", "Now", {{"model", "d"}}, 0.5}};
  EXPECT_EQ(metrics_text(rows, gauges),
            "# HELP done_total Ended\n"
            "# TYPE done_total counter\n"
            "done_total{why=\"stop\"} 3\n"
            "done_total{why=\"length\"} 0\n"
            "# HELP wait_seconds Waiting\\nlong\n"
            "# TYPE wait_seconds histogram\n"
            "wait_seconds_bucket{le=\"0.5\"} 2\n"
            "wait_seconds_bucket{le=\"2\"} 3\n"
            "wait_seconds_bucket{le=\"+Inf\"} 4\n"
            "wait_seconds_sum 6.3\n"
            "wait_seconds_count 4\n"
            "# HELP running Now\n"
            "# TYPE running gauge\n"
            "running{model=\"a\\\"b\\\\c\"} 2\n"
            "running{model=\"d\"} 0.5\n");
}

}  // namespace
}  // namespace paring::serve
