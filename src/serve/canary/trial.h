// SPDX-License-Identifier: Apache-2.0
// Trial: two sides of a model's requests, as they are served and as they would be after a change,
// and when enough is known to say which is better. Sums only: it grows with nothing. The clock is
// the caller's. Not thread-safe.
//
// A trial may be ended early only for harm: each look, and there is one when the changed side has a
// tenth more requests than at the last, asks whether the change is worse with a probability of
// error of 0.001. Of the about fifty looks of a trial of 1000 requests fewer than one in twenty
// harmless trials ends falsely. Whether there is a gain is asked once, at the end, with an interval
// of 90 %.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "serve/canary/comparison.h"

namespace paring::serve {

// enumerator, name in APIs, whether less is better. Means over requests, but for
// answer_tokens_per_second: tokens of answers by second of the engine's work on their requests.
#define PARING_TRIAL_METRICS(X)                     \
  X(kFirstToken, "first_token_seconds", true)       \
  X(kInterToken, "inter_token_seconds", true)       \
  X(kTotal, "total_seconds", true)                  \
  X(kWork, "engine_seconds_per_request", true)      \
  X(kThroughput, "answer_tokens_per_second", false) \
  X(kEnergy, "joules_per_request", true)            \
  X(kMoney, "money_per_request", true)              \
  X(kAnswerTokens, "answer_tokens", true)           \
  X(kMemory, "memory_bytes", true)

enum class TrialMetric : std::uint8_t {
#define PARING_X(name, text, less) name,
  PARING_TRIAL_METRICS(PARING_X)
#undef PARING_X
};
#define PARING_X(name, text, less) +1
inline constexpr std::size_t kTrialMetrics = PARING_TRIAL_METRICS(PARING_X);
#undef PARING_X
const char* trial_metric_name(TrialMetric metric) noexcept;
bool is_less_better(TrialMetric metric) noexcept;
std::optional<TrialMetric> find_trial_metric(std::string_view name) noexcept;

// A score that must not get worse (store/scores.h), where there are scores of it.
struct QualityGate {
  std::string score;
  bool is_higher_better = true;

  bool operator==(const QualityGate&) const = default;
};

struct TrialRules {
  TrialMetric goal = TrialMetric::kWork;  // in which there must be a gain
  double gain_min = 0;                    // that its lower end must be above; 0.1: a tenth
  std::int64_t requests_min = 100;        // of each side
  double seconds_min = 30;
  double seconds_max = 3600;
  // The first token and the time between tokens may take so many times as long.
  double slowdown_max = 1.3;
  std::vector<QualityGate> quality = {{"rating", true}, {"live_kl", false}};

  bool operator==(const TrialRules&) const = default;
};

enum class TrialSide : std::uint8_t { kBefore, kChanged };

// A request that has ended.
struct TrialRequest {
  bool has_failed = false;
  std::optional<double> first_token_seconds = std::nullopt;
  std::optional<double> gap_seconds = std::nullopt;  // the mean between its tokens
  double total_seconds = 0;
  double work_seconds = 0;
  double answer_tokens = 0;
  double joules = 0;
  double money = 0;
};

struct TrialMeasure {
  std::string name;  // of a metric; "score:NAME" of a score
  double before = 0;
  double after = 0;
  // Of `after`, when `before` is what it is: 90 % of the ratio, of scores of the difference.
  double low = 0;
  double high = 0;
  std::int64_t count = 0;  // of the side that has fewer
};

struct TrialCount {
  std::int64_t requests = 0;
  std::int64_t failed = 0;
};

enum class TrialVerdict : std::uint8_t { kRunning, kKept, kRolledBack, kInconclusive };
// "running", "kept", "rolled_back", "inconclusive".
const char* trial_verdict_name(TrialVerdict verdict) noexcept;

struct TrialOutcome {
  TrialVerdict verdict = TrialVerdict::kRunning;
  std::string reason;
};

class Trial {
 public:
  // Times are monotonic.
  Trial(const TrialRules& rules, double start);

  void add(TrialSide side, const TrialRequest& request);
  // Of an answer of that side.
  void add_score(TrialSide side, std::string_view name, double value);
  // What the memory of each side is.
  void set_memory(double before, double after) noexcept;
  TrialOutcome look(double now);

  const TrialRules& rules() const noexcept { return rules_; }
  const TrialCount& count(TrialSide side) const noexcept {
    return sides_[static_cast<std::size_t>(side)].count;
  }
  double seconds(double now) const noexcept { return now - start_; }
  // What is known of both sides.
  std::vector<TrialMeasure> measures() const;

 private:
  struct Side {
    TrialCount count;
    std::array<RatioMean, kTrialMetrics> means;
    std::vector<RatioMean> scores;  // by gate
    double memory = 0;
  };
  const Side& before() const noexcept { return sides_[0]; }
  const Side& changed() const noexcept { return sides_[1]; }
  std::optional<RatioInterval> ratio(TrialMetric metric, double normal) const;
  std::string harm(double failure_p_max, double normal) const;
  std::string harm_of_quality(double normal) const;
  TrialOutcome judge_gain() const;

  const TrialRules rules_;
  const double start_;
  std::array<Side, 2> sides_;
  std::int64_t next_look_ = kFirstLook;

  static constexpr std::int64_t kFirstLook = 5;
};

}  // namespace paring::serve
