// SPDX-License-Identifier: Apache-2.0
#include "base/metrics.h"

#include "serve/metrics_text.h"
#include "serve/routes/handlers.h"
#include "serve/server.h"

namespace paring::serve {

namespace {

using Labels = std::vector<std::pair<std::string, std::string>>;

MetricSample sample(const ModelGauge& gauge, const Labels& labels, double value) {
  return {gauge.name, gauge.help, labels, value};
}

void add_semantic_cache(const Server& server, std::vector<MetricSample>& gauges) {
  if (server.semantic_cache() == nullptr) return;
  std::vector<MetricSample> bounds;
  for (const SemanticCache::Standing& each : server.semantic_cache()->standings()) {
    const Labels labels = {{"model_name", each.model}};
    gauges.push_back(sample(kSemanticServingGauge, labels,
                            each.state == FalseHitMeter::State::kServing ? 1.0 : 0.0));
    bounds.push_back(sample(kSemanticBoundGauge, labels, each.bounds.upper));
  }
  gauges.insert(gauges.end(), bounds.begin(), bounds.end());
}

void add_live_quality(const Server& server, std::vector<MetricSample>& gauges) {
  for (const auto& watch : server.quality_watches()) {
    const monitor::LiveStanding now = watch->standing();
    const Labels labels = {{"model_name", watch->model_name()}};
    if (now.window_answers > 0) {
      gauges.push_back(sample(kLiveKlGauge, labels, now.kl.mean));
      if (now.kl.low) gauges.push_back(sample(kLiveKlLowGauge, labels, *now.kl.low));
      if (now.kl.high) gauges.push_back(sample(kLiveKlHighGauge, labels, *now.kl.high));
      gauges.push_back(sample(kLiveTopGauge, labels, now.same_top.mean));
    }
    gauges.push_back(
        sample(kLiveDriftGauge, labels, now.drift == monitor::Drift::kDrifted ? 1.0 : 0.0));
  }
}

}  // namespace

void serve_metrics(Server& server, const Call& call) {
  std::vector<MetricSample> running;
  std::vector<MetricSample> waiting;
  std::vector<MetricSample> usage;
  std::vector<MetricSample> memory;
  std::vector<MetricSample> wishes;
  for (const ModelStatus& status : server.models().list()) {
    const Labels labels = {{"model_name", status.source.name}};
    memory.push_back(sample(kMemoryGauge, labels, static_cast<double>(status.memory_bytes)));
    wishes.push_back(sample(kWishesGauge, labels, static_cast<double>(status.waiting)));
    if (status.model == nullptr) continue;
    const EngineLoad load = status.model->load();
    running.push_back(sample(kRunningGauge, labels, static_cast<double>(load.running)));
    waiting.push_back(sample(kWaitingGauge, labels, static_cast<double>(load.waiting)));
    usage.push_back(sample(kCacheUsageGauge, labels, load.cache_usage));
  }
  std::vector<MetricSample> gauges = std::move(running);
  for (const auto* more : {&waiting, &usage, &memory, &wishes}) {
    gauges.insert(gauges.end(), more->begin(), more->end());
  }
  add_semantic_cache(server, gauges);
  add_live_quality(server, gauges);
  if (const monitor::ContentFilter* const filter = server.content_filter()) {
    const std::vector<MetricSample> redactions = redaction_samples(*filter);
    gauges.insert(gauges.end(), redactions.begin(), redactions.end());
  }
  server.respond(call, 200, kMetricsContentType, metrics_text(metric_rows(metrics()), gauges));
}

}  // namespace paring::serve
