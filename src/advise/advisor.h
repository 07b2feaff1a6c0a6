// SPDX-License-Identifier: Apache-2.0
// Advisor: what to change about a server, from what it kept of its traffic. Each piece of advice
// names its evidence, the commands, and what is predicted to change, with an interval that 90 of
// 100 such predictions should keep, made of
//   - how much the answer depends on which requests came (all but one eighth of them, each in
//   turn),
//   - how well a replay foretells a machine (kModelErrors, measured by bench/advice_prediction.py).
// Predicted are figures of a replay of the same requests (replay/replay.h), times what was measured
// over what the replay of the present set-up says. Values and pure functions.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "advise/replay/replay.h"
#include "advise/replay/step_ratios.h"
#include "advise/replay/traffic_sample.h"
#include "base/result.h"

namespace paring::advise {

// enumerator, name in APIs, unit, whether less is better
#define PARING_ADVICE_METRICS(X)                           \
  X(kThroughput, "answer_tokens_per_second", "1/s", false) \
  X(kInterToken, "inter_token_seconds", "s", true)         \
  X(kFirstToken, "first_token_seconds", "s", true)         \
  X(kWork, "engine_seconds_per_request", "s", true)        \
  X(kEnergy, "joules_per_request", "J", true)              \
  X(kMoney, "money_per_request", "", true)                 \
  X(kMemory, "memory_bytes", "B", true)

enum class AdviceMetric : std::uint8_t {
#define PARING_X(name, text, unit, less) name,
  PARING_ADVICE_METRICS(PARING_X)
#undef PARING_X
};
const char* advice_metric_name(AdviceMetric metric) noexcept;
const char* advice_metric_unit(AdviceMetric metric) noexcept;
bool is_less_better(AdviceMetric metric) noexcept;

struct PredictedMetric {
  AdviceMetric metric;
  double now = 0;
  double expected = 0;
  double low = 0;  // of 90 %
  double high = 0;
};

// enumerator, name in APIs, relative standard deviation of a replay's prediction
#define PARING_ADVICE_ACTIONS(X)                \
  X(kResponseCache, "response_cache", 0.07)     \
  X(kPrefixCache, "prefix_cache", 0.08)         \
  X(kWeightType, "weight_type", 0.11)           \
  X(kKvType, "kv_type", 0.10)                   \
  X(kSequences, "sequences_max", 0.08)          \
  X(kThreads, "threads", 0.12)                  \
  X(kSpeculation, "speculation", 0.12)          \
  X(kContextTrimming, "context_trimming", 0.08) \
  X(kReplicas, "replicas", 0.10)                \
  X(kCores, "cores", 0.12)                      \
  X(kMemorySize, "memory", 0.05)

enum class AdviceAction : std::uint8_t {
#define PARING_X(name, text, error) name,
  PARING_ADVICE_ACTIONS(PARING_X)
#undef PARING_X
};
const char* advice_action_name(AdviceAction action) noexcept;
std::optional<AdviceAction> find_advice_action(std::string_view name) noexcept;

struct Advice {
  AdviceAction action = AdviceAction::kResponseCache;
  std::string title;
  std::string evidence;
  std::vector<std::string> commands;  // or settings, exactly
  std::string change;                 // a JSON object: what a canary would try; "": not by itself
  std::vector<PredictedMetric> metrics;
  std::string loss;  // of quality
  double gain = 0;   // in the metric that matters most for it, relative; larger is better
  double gain_low = 0;
  double gain_high = 0;
  AdviceMetric gain_metric = AdviceMetric::kThroughput;
  bool is_recommended = false;  // the lower bound of its gain is worth it
  std::string caution;          // why not, or what to look at first
};

struct WeightCandidate {
  std::string name;               // "Q4_K", or a file
  std::string path;               // of a file that is there; "": it is to be made
  StepRatios steps;               // of steps with them to steps as they are
  double weight_bytes = 0;        // in memory, with them
  double kv_bytes_per_token = 0;  // that come with them; 0: as now
  std::string loss;               // what is known of its quality
};

struct AdvisorOptions {
  std::size_t clients = 0;  // of the replay at full load; 0: as many sequences as ran on average
  std::size_t usable_cores = 0;
  double free_bytes = 0;  // of memory; 0: not known
  // What could be in the place of the present weights.
  std::vector<WeightCandidate> candidates{};
  // Past predictions of an action against what was measured: measured / predicted - 1.
  std::vector<std::pair<AdviceAction, double>> residuals{};
};

struct AdviceReport {
  std::size_t clients = 0;
  ReplayOutcome present;        // the replay of the present set-up, at full load
  ReplayOutcome present_paced;  // at the requests' own times
  double correction = 1;        // measured over replayed
  std::vector<Advice> advice;   // recommended ones first, by gain
};

// Less than this gain is not worth a change.
inline constexpr double kGainMin = 0.03;

AdviceReport advise_on(const TrafficSample& sample, const AdvisorOptions& options);

}  // namespace paring::advise
