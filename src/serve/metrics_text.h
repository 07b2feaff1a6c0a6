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
#include "monitor/content_filter.h"

namespace paring::serve {

inline constexpr const char* kMetricsContentType = "text/plain; version=0.0.4; charset=utf-8";

// A value that is read when asked, with labels.
struct MetricSample {
  std::string name;
  std::string help;
  std::vector<std::pair<std::string, std::string>> labels;
  double value = 0;
  const char* kind = "gauge";
};

// Rows of one family (the name before '{', which may hold labels) stand behind each other; so do
// gauges of one name.
std::string metrics_text(std::span<const MetricRow> rows, std::span<const MetricSample> gauges);

// Gauges that have a sample for each model, beside those of base/metrics.def: the one list.
struct ModelGauge {
  const char* name;
  const char* help;
};
inline constexpr ModelGauge kRunningGauge{"vllm:num_requests_running",
                                          "Sequences that are being computed"};
inline constexpr ModelGauge kWaitingGauge{"vllm:num_requests_waiting",
                                          "Sequences that wait for their turn"};
inline constexpr ModelGauge kCacheUsageGauge{
    "vllm:kv_cache_usage_perc", "Part of the pages of keys and values that are in use, 0 to 1"};
inline constexpr ModelGauge kMemoryGauge{
    "paring:model_memory_bytes", "Memory that a model takes, as predicted; 0: it is not loaded"};
inline constexpr ModelGauge kWishesGauge{"paring:model_requests_waiting",
                                         "Requests that wait until a model is loaded"};
inline constexpr ModelGauge kSemanticServingGauge{
    "paring:semantic_cache_serving",
    "1: the cache gives answers to questions that mean the same; 0: it compares only, or is off"};
inline constexpr ModelGauge kSemanticBoundGauge{
    "paring:semantic_cache_false_hit_rate_upper",
    "Upper bound (95 %) of the part of such answers that are wrong, 0 to 1"};
inline constexpr ModelGauge kLiveKlGauge{
    "paring:quality_live_kl",
    "KL divergence of live answers from the original, nats a token; of the last 1,000 scored"};
inline constexpr ModelGauge kLiveKlLowGauge{"paring:quality_live_kl_lower",
                                            "Lower end of its interval (95 %)"};
inline constexpr ModelGauge kLiveKlHighGauge{"paring:quality_live_kl_upper",
                                             "Upper end of its interval (95 %)"};
inline constexpr ModelGauge kLiveTopGauge{
    "paring:quality_live_top1",
    "Part of the tokens of live answers where the original holds the same token for the likeliest"};
inline constexpr ModelGauge kLiveDriftGauge{"paring:quality_live_drifted",
                                            "1: live answers are farther from the original than "
                                            "the certificate allows; 0: they are not, or "
                                            "too few are known"};
inline constexpr ModelGauge kModelGauges[] = {
    kLiveKlGauge,          kLiveKlLowGauge,    kLiveKlHighGauge, kLiveTopGauge, kLiveDriftGauge,

    kRunningGauge,         kWaitingGauge,      kCacheUsageGauge, kMemoryGauge,  kWishesGauge,
    kSemanticServingGauge, kSemanticBoundGauge};

// A sample for each rule of redaction.
inline constexpr ModelGauge kRedactionsCounter{
    "paring:content_redactions_total",
    "Places in prompts and answers that were replaced before these were written, by rule"};
std::vector<MetricSample> redaction_samples(const monitor::ContentFilter& filter);

// The table of all metrics for the documentation, in Markdown.
std::string metrics_reference();

}  // namespace paring::serve
