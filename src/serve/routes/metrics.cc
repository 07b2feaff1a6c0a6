// SPDX-License-Identifier: Apache-2.0
#include "base/metrics.h"

#include "serve/metrics_text.h"
#include "serve/routes/handlers.h"
#include "serve/server.h"

namespace paring::serve {

void serve_metrics(Server& server, const Call& call) {
  std::vector<MetricSample> running;
  std::vector<MetricSample> waiting;
  std::vector<MetricSample> usage;
  for (const auto& model : server.models().list()) {
    const EngineLoad load = model->load();
    const std::vector<std::pair<std::string, std::string>> labels = {{"model_name", model->name()}};
    running.push_back({"vllm:num_requests_running", "Sequences that are being computed", labels,
                       static_cast<double>(load.running)});
    waiting.push_back({"vllm:num_requests_waiting", "Sequences that wait for their turn", labels,
                       static_cast<double>(load.waiting)});
    usage.push_back({"vllm:kv_cache_usage_perc",
                     "Part of the pages of keys and values that are in use, 0 to 1", labels,
                     load.cache_usage});
  }
  std::vector<MetricSample> gauges = std::move(running);
  gauges.insert(gauges.end(), waiting.begin(), waiting.end());
  gauges.insert(gauges.end(), usage.begin(), usage.end());
  server.respond(call, 200, kMetricsContentType, metrics_text(metric_rows(metrics()), gauges));
}

}  // namespace paring::serve
