// SPDX-License-Identifier: Apache-2.0
#include "base/metrics.h"

#include "serve/metrics_text.h"
#include "serve/routes/handlers.h"
#include "serve/server.h"

namespace paring::serve {

namespace {

void add_semantic_cache(const Server& server, std::vector<MetricSample>& gauges) {
  if (server.semantic_cache() == nullptr) return;
  std::vector<MetricSample> bounds;
  for (const SemanticCache::Standing& each : server.semantic_cache()->standings()) {
    const std::vector<std::pair<std::string, std::string>> labels = {{"model_name", each.model}};
    gauges.push_back({"paring:semantic_cache_serving",
                      "1: the cache gives answers to questions that mean the same; 0: it compares "
                      "only, or is off",
                      labels, each.state == FalseHitMeter::State::kServing ? 1.0 : 0.0});
    bounds.push_back({"paring:semantic_cache_false_hit_rate_upper",
                      "Upper bound (95 %) of the part of such answers that are wrong, 0 to 1",
                      labels, each.bounds.upper});
  }
  gauges.insert(gauges.end(), bounds.begin(), bounds.end());
}

}  // namespace

void serve_metrics(Server& server, const Call& call) {
  std::vector<MetricSample> running;
  std::vector<MetricSample> waiting;
  std::vector<MetricSample> usage;
  std::vector<MetricSample> memory;
  std::vector<MetricSample> wishes;
  for (const ModelStatus& status : server.models().list()) {
    const std::vector<std::pair<std::string, std::string>> labels = {
        {"model_name", status.source.name}};
    memory.push_back({"paring:model_memory_bytes",
                      "Memory that a model takes, as predicted; 0: it is not loaded", labels,
                      static_cast<double>(status.memory_bytes)});
    wishes.push_back({"paring:model_requests_waiting", "Requests that wait until a model is loaded",
                      labels, static_cast<double>(status.waiting)});
    if (status.model == nullptr) continue;
    const EngineLoad load = status.model->load();
    running.push_back({"vllm:num_requests_running", "Sequences that are being computed", labels,
                       static_cast<double>(load.running)});
    waiting.push_back({"vllm:num_requests_waiting", "Sequences that wait for their turn", labels,
                       static_cast<double>(load.waiting)});
    usage.push_back({"vllm:kv_cache_usage_perc",
                     "Part of the pages of keys and values that are in use, 0 to 1", labels,
                     load.cache_usage});
  }
  std::vector<MetricSample> gauges = std::move(running);
  for (const auto* more : {&waiting, &usage, &memory, &wishes}) {
    gauges.insert(gauges.end(), more->begin(), more->end());
  }
  add_semantic_cache(server, gauges);
  server.respond(call, 200, kMetricsContentType, metrics_text(metric_rows(metrics()), gauges));
}

}  // namespace paring::serve
