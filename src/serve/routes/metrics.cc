// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "base/metrics.h"
#include "kernels/ops.h"

#include "serve/alert_samples.h"
#include "serve/metrics_text.h"
#include "serve/routes/handlers.h"
#include "serve/sample_list.h"
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

void add_model(std::vector<MetricSample>& gauges, const ServedModel& model,
               const cost::Probes* probes) {
  add_model_totals(gauges, model.name(), model.totals(), probes);
  if (!model.is_encoder()) {
    const ServedModelOptions& options = model.options();
    gauges.push_back(
        sample_of(samples::kCacheConfig,
                  {{"model_name", model.name()},
                   {"block_size", std::to_string(kernels::kPageTokens)},
                   {"num_gpu_blocks", std::to_string(options.cache_tokens / kernels::kPageTokens)},
                   {"enable_prefix_caching", options.has_prefix_cache ? "True" : "False"}},
                  1));
  }
  if (model.certificate().empty()) return;
  if (const auto certificate = api::Certificate::from_json(model.certificate())) {
    add_certificate(gauges, model.name(), *certificate);
  }
}

// From cells that count for other names as well.
void add_prompt_sources(std::vector<MetricSample>& gauges) {
  const auto computed = static_cast<double>(metrics().prompt_tokens.value());
  const auto cached = static_cast<double>(metrics().prefix_hits.value());
  gauges.push_back(sample_of(samples::kPromptSource, {{"source", "local_compute"}}, computed));
  gauges.push_back(sample_of(samples::kPromptSource, {{"source", "local_cache_hit"}}, cached));
  gauges.push_back(sample_of(samples::kPromptCached, {}, cached));
}

}  // namespace

void serve_metrics(Server& server, const Call& call) {
  std::vector<MetricSample> running;
  std::vector<MetricSample> waiting;
  std::vector<MetricSample> usage;
  std::vector<MetricSample> memory;
  std::vector<MetricSample> wishes;
  std::vector<MetricSample> more_samples;
  for (const ModelStatus& status : server.models().list()) {
    const Labels labels = {{"model_name", status.source.name}};
    memory.push_back(sample(kMemoryGauge, labels, static_cast<double>(status.memory_bytes)));
    wishes.push_back(sample(kWishesGauge, labels, static_cast<double>(status.waiting)));
    if (status.model == nullptr) continue;
    const EngineLoad load = status.model->load();
    running.push_back(sample(kRunningGauge, labels, static_cast<double>(load.running)));
    waiting.push_back(sample(kWaitingGauge, labels, static_cast<double>(load.waiting)));
    usage.push_back(sample(kCacheUsageGauge, labels, load.cache_usage));
    add_model(more_samples, *status.model, server.probes());
  }
  std::vector<MetricSample> gauges = std::move(running);
  for (const auto* more : {&waiting, &usage, &memory, &wishes}) {
    gauges.insert(gauges.end(), more->begin(), more->end());
  }
  add_semantic_cache(server, gauges);
  add_live_quality(server, gauges);
  add_prompt_sources(more_samples);
  add_probes(more_samples, server.probes());
  add_machine(more_samples, server.machine());
  add_costs(more_samples, server.joules_of_requests(), server.spent(),
            metrics().generation_tokens.value());
  add_scores(more_samples, server.score_sums());
  if (const monitor::Alerts* const alerts = server.alerts()) {
    const std::vector<MetricSample> found = alert_samples(*alerts);
    more_samples.insert(more_samples.end(), found.begin(), found.end());
  }
  // Samples of a name stand behind each other.
  std::stable_sort(more_samples.begin(), more_samples.end(),
                   [](const MetricSample& a, const MetricSample& b) { return a.name < b.name; });
  gauges.insert(gauges.end(), more_samples.begin(), more_samples.end());
  if (const monitor::ContentFilter* const filter = server.content_filter()) {
    const std::vector<MetricSample> redactions = redaction_samples(*filter);
    gauges.insert(gauges.end(), redactions.begin(), redactions.end());
  }
  server.respond(call, 200, kMetricsContentType, metrics_text(metric_rows(metrics()), gauges));
}

}  // namespace paring::serve
