// SPDX-License-Identifier: Apache-2.0
#include "serve/canary/trial.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace paring::serve {

namespace {

// Of both sides together, before times are compared: a mean of fewer says little.
constexpr std::int64_t kTimesMin = 10;
constexpr double kFailurePAtLook = 0.001;
constexpr double kFailurePAtEnd = 0.05;
// Fewer requests of a model until the next look would be looked at too often.
constexpr double kLookGrowth = 1.1;

constexpr std::size_t index(TrialMetric metric) { return static_cast<std::size_t>(metric); }

// How far the difference of two means may be from the true one. REQUIRES: two values on each side.
double difference_error(const RatioMean& a, const RatioMean& b, double normal) {
  const auto smaller = static_cast<double>(std::min(a.count(), b.count()));
  return student_quantile(normal, smaller - 1) * std::hypot(a.standard_error(), b.standard_error());
}

std::string percent(double ratio) { return fmt::format("{:+.1f} %", 100 * (ratio - 1)); }

}  // namespace

const char* trial_metric_name(TrialMetric metric) noexcept {
  constexpr const char* kNames[] = {
#define PARING_X(name, text, less) text,
      PARING_TRIAL_METRICS(PARING_X)
#undef PARING_X
  };
  return kNames[index(metric)];
}

bool is_less_better(TrialMetric metric) noexcept {
  constexpr bool kLess[] = {
#define PARING_X(name, text, less) less,
      PARING_TRIAL_METRICS(PARING_X)
#undef PARING_X
  };
  return kLess[index(metric)];
}

std::optional<TrialMetric> find_trial_metric(std::string_view name) noexcept {
#define PARING_X(enumerator, text, less) \
  if (name == (text)) return TrialMetric::enumerator;
  PARING_TRIAL_METRICS(PARING_X)
#undef PARING_X
  return std::nullopt;
}

const char* trial_verdict_name(TrialVerdict verdict) noexcept {
  switch (verdict) {
    case TrialVerdict::kRunning:
      return "running";
    case TrialVerdict::kKept:
      return "kept";
    case TrialVerdict::kRolledBack:
      return "rolled_back";
    case TrialVerdict::kInconclusive:
      break;
  }
  return "inconclusive";
}

Trial::Trial(const TrialRules& rules, double start) : rules_(rules), start_(start) {
  for (Side& side : sides_) side.scores.resize(rules_.quality.size());
}

void Trial::add(TrialSide which, const TrialRequest& request) {
  Side& side = sides_[static_cast<std::size_t>(which)];
  ++side.count.requests;
  if (request.has_failed) {
    ++side.count.failed;
    return;  // how long a failure took is no time to compare
  }
  const auto mean = [&](TrialMetric metric) -> RatioMean& { return side.means[index(metric)]; };
  if (request.first_token_seconds) {
    mean(TrialMetric::kFirstToken).add(*request.first_token_seconds);
  }
  if (request.gap_seconds) mean(TrialMetric::kInterToken).add(*request.gap_seconds);
  mean(TrialMetric::kTotal).add(request.total_seconds);
  mean(TrialMetric::kWork).add(request.work_seconds);
  mean(TrialMetric::kThroughput).add(request.answer_tokens, request.work_seconds);
  mean(TrialMetric::kEnergy).add(request.joules);
  mean(TrialMetric::kMoney).add(request.money);
  mean(TrialMetric::kAnswerTokens).add(request.answer_tokens);
}

void Trial::add_score(TrialSide which, std::string_view name, double value) {
  Side& side = sides_[static_cast<std::size_t>(which)];
  for (std::size_t i = 0; i < rules_.quality.size(); ++i) {
    if (rules_.quality[i].score == name) side.scores[i].add(value);
  }
}

void Trial::set_memory(double before, double after) noexcept {
  sides_[0].memory = before;
  sides_[1].memory = after;
}

std::optional<RatioInterval> Trial::ratio(TrialMetric metric, double normal) const {
  if (metric != TrialMetric::kMemory) {
    return ratio_of(before().means[index(metric)], changed().means[index(metric)], normal);
  }
  if (before().memory <= 0) return std::nullopt;
  const double ratio = changed().memory / before().memory;
  return RatioInterval{ratio, ratio, ratio};
}

std::vector<TrialMeasure> Trial::measures() const {
  std::vector<TrialMeasure> measures;
  for (std::size_t i = 0; i < kTrialMetrics; ++i) {
    const auto metric = static_cast<TrialMetric>(i);
    const auto found = ratio(metric, kAtEnd);
    if (!found) continue;
    const bool is_memory = metric == TrialMetric::kMemory;
    const double mean = is_memory ? before().memory : before().means[i].mean();
    measures.push_back(
        {.name = trial_metric_name(metric),
         .before = mean,
         .after = mean * found->ratio,
         .low = mean * found->low,
         .high = mean * found->high,
         .count = is_memory ? 1 : std::min(before().means[i].count(), changed().means[i].count())});
  }
  for (std::size_t i = 0; i < rules_.quality.size(); ++i) {
    const RatioMean& old = before().scores[i];
    const RatioMean& now = changed().scores[i];
    const std::int64_t count = std::min(old.count(), now.count());
    if (count < 2) continue;
    const double reach = difference_error(old, now, kAtEnd);
    measures.push_back({.name = "score:" + rules_.quality[i].score,
                        .before = old.mean(),
                        .after = now.mean(),
                        .low = now.mean() - reach,
                        .high = now.mean() + reach,
                        .count = count});
  }
  return measures;
}

std::string Trial::harm_of_quality(double normal) const {
  for (std::size_t i = 0; i < rules_.quality.size(); ++i) {
    const QualityGate& gate = rules_.quality[i];
    const RatioMean& old = before().scores[i];
    const RatioMean& now = changed().scores[i];
    if (std::min(old.count(), now.count()) < kTimesMin) continue;
    const double loss = gate.is_higher_better ? old.mean() - now.mean() : now.mean() - old.mean();
    if (loss <= difference_error(old, now, normal)) continue;
    return fmt::format("the score {} is {:.4g} instead of {:.4g}", gate.score, now.mean(),
                       old.mean());
  }
  return {};
}

// What is worse; "": nothing that could be shown to be.
std::string Trial::harm(double failure_p_max, double normal) const {
  const TrialCount& old = before().count;
  const TrialCount& now = changed().count;
  if (now.failed > 0 &&
      failure_p(old.failed, old.requests, now.failed, now.requests) < failure_p_max) {
    return fmt::format("{} of {} requests failed, {} of {} without the change", now.failed,
                       now.requests, old.failed, old.requests);
  }
  for (const TrialMetric metric : {TrialMetric::kFirstToken, TrialMetric::kInterToken}) {
    const std::size_t i = index(metric);
    if (std::min(before().means[i].count(), changed().means[i].count()) < kTimesMin) continue;
    const auto found = ratio(metric, normal);
    if (found && found->low > rules_.slowdown_max) {
      return fmt::format("{} is {:.2f} times as long ({:.4g} instead of {:.4g} s), the limit is {}",
                         trial_metric_name(metric), found->ratio, changed().means[i].mean(),
                         before().means[i].mean(), rules_.slowdown_max);
    }
  }
  return harm_of_quality(normal);
}

TrialOutcome Trial::judge_gain() const {
  const char* const name = trial_metric_name(rules_.goal);
  const auto found = ratio(rules_.goal, kAtEnd);
  if (!found) {
    return {TrialVerdict::kInconclusive, fmt::format("nothing is known of {}", name)};
  }
  const bool is_less = is_less_better(rules_.goal);
  const double least = is_less ? 1 - found->high : found->low - 1;
  const double most = is_less ? 1 - found->low : found->high - 1;
  const std::string figures = fmt::format("{} {} (90 %: {} to {})", name, percent(found->ratio),
                                          percent(found->low), percent(found->high));
  if (least > rules_.gain_min) return {TrialVerdict::kKept, figures};
  if (most <= rules_.gain_min) {
    return {TrialVerdict::kRolledBack,
            figures + fmt::format(": no gain above {:.1f} %", 100 * rules_.gain_min)};
  }
  return {TrialVerdict::kInconclusive,
          figures + fmt::format(": it may be more or less than {:.1f} %", 100 * rules_.gain_min)};
}

TrialOutcome Trial::look(double now) {
  const std::int64_t requests = changed().count.requests;
  if (requests >= next_look_) {
    next_look_ =
        std::max(requests + 1,
                 static_cast<std::int64_t>(std::ceil(kLookGrowth * static_cast<double>(requests))));
    if (std::string why = harm(kFailurePAtLook, kAtLook); !why.empty()) {
      return {TrialVerdict::kRolledBack, std::move(why)};
    }
  }
  const std::int64_t least = std::min(before().count.requests, requests);
  const bool is_over = seconds(now) >= rules_.seconds_max;
  if (least >= rules_.requests_min && (seconds(now) >= rules_.seconds_min || is_over)) {
    if (std::string why = harm(kFailurePAtEnd, kAtEnd); !why.empty()) {
      return {TrialVerdict::kRolledBack, std::move(why)};
    }
    return judge_gain();
  }
  if (!is_over) return {};
  return {TrialVerdict::kInconclusive,
          fmt::format("in {:.0f} s {} requests ended without the change and {} with it, {} of each "
                      "are needed",
                      seconds(now), before().count.requests, requests, rules_.requests_min)};
}

}  // namespace paring::serve
