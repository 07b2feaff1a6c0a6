// SPDX-License-Identifier: Apache-2.0
#include "advise/prediction.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace paring::advise {

namespace {

constexpr double kNormal90 = 1.6449;  // half of the interval that holds 90 % of a normal variable
constexpr double kMemoryError = 0.025;

// All but the k-th of kParts pieces that follow each other.
std::vector<ReplayRequest> without(const std::vector<ReplayRequest>& requests, std::size_t k) {
  const std::size_t begin = requests.size() * k / Predictor::kParts;
  const std::size_t end = requests.size() * (k + 1) / Predictor::kParts;
  std::vector<ReplayRequest> rest(requests.begin(),
                                  requests.begin() + static_cast<std::ptrdiff_t>(begin));
  rest.insert(rest.end(), requests.begin() + static_cast<std::ptrdiff_t>(end), requests.end());
  return rest;
}

double value_of(const ReplayOutcome& outcome, AdviceMetric metric) {
  switch (metric) {
    case AdviceMetric::kThroughput:
      return outcome.answer_tokens_per_second();
    case AdviceMetric::kInterToken:
      return outcome.gap_s;
    case AdviceMetric::kFirstToken:
      return outcome.first_token_s;
    default:
      return outcome.requests > 0 ? outcome.busy_s / static_cast<double>(outcome.requests) : 0;
  }
}

// The jackknife's standard error of a mean of leave-one-part-out values.
double jackknife_error(const std::vector<double>& values) {
  double mean = 0;
  for (const double value : values) mean += value / static_cast<double>(values.size());
  double squares = 0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  const auto n = static_cast<double>(values.size());
  return std::sqrt((n - 1) / n * squares);
}

}  // namespace

Predictor::Predictor(const TrafficSample& sample, const AdvisorOptions& options)
    : sample_(sample), options_(options) {
  const std::size_t count = std::min(sample.requests.size(), kReplayedMax);
  requests_.assign(sample.requests.end() - static_cast<std::ptrdiff_t>(count),
                   sample.requests.end());
  const double first = requests_.front().arrival_s;
  for (ReplayRequest& request : requests_) request.arrival_s -= first;

  present_paced_ = paced(present(), 1);
  const Measured& measured = sample.measured;
  // Where the replay stands for the requests that were measured, the whole is made right.
  const std::size_t computed = present_paced_.requests - present_paced_.given_again;
  const auto measured_share =
      computed > 0 ? static_cast<double>(measured.requests) / static_cast<double>(computed) : 0;
  constexpr double kSame = 0.05;
  if (std::abs(measured_share - 1) < kSame && present_paced_.busy_s > 0) {
    constexpr double kWrongestMax = 1.5;
    correction_ = std::clamp(measured.work_s / measured_share / present_paced_.busy_s,
                             1 / kWrongestMax, kWrongestMax);
    present_paced_ = paced(present(), 1);
  }
  clients_ = options.clients;
  if (clients_ == 0) {
    clients_ =
        std::max<std::size_t>(1, static_cast<std::size_t>(std::lround(present_paced_.running)));
  }
  const Variation now = present();
  present_ = replay(requests_, now.engine, now.cost, {.clients = clients_});
  for (std::size_t k = 0; k < kParts; ++k) {
    present_parts_.push_back(
        replay(without(requests_, k), now.engine, now.cost, {.clients = clients_}));
  }
}

Variation Predictor::present() const {
  return {.engine = sample_.facts.engine,
          .cost =
              [this](const engine::StepShape& shape) {
                constexpr double kShortest = 1e-6;
                return std::max(step_seconds(shape), kShortest);
              },
          .change = {},
          .memory_change = 0,
          .kv_bytes_per_token = sample_.facts.kv_bytes_per_token};
}

std::vector<ReplayRequest> Predictor::changed(const Variation& variation) const {
  std::vector<ReplayRequest> requests = requests_;
  if (variation.change) {
    for (ReplayRequest& request : requests) variation.change(request);
  }
  return requests;
}

ReplayOutcome Predictor::paced(const Variation& variation, std::size_t replicas) const {
  std::vector<ReplayRequest> mine;
  const std::vector<ReplayRequest> all = changed(variation);
  for (std::size_t i = 0; i < all.size(); i += replicas) mine.push_back(all[i]);
  return replay(mine, variation.engine, variation.cost, {});
}

double Predictor::memory_bytes() const {
  if (sample_.facts.resident_bytes > 0) return sample_.facts.resident_bytes;
  return sample_.facts.weight_bytes + sample_.facts.extra_bytes;
}

double Predictor::model_error(AdviceAction action) const {
  double prior = 0;
  switch (action) {
#define PARING_X(name, text, error) \
  case AdviceAction::name:          \
    prior = error;                  \
    break;
    PARING_ADVICE_ACTIONS(PARING_X)
#undef PARING_X
  }
  // What was measured of past advice counts like as many values as the prior stands for.
  constexpr double kPriorCount = 5;
  double squares = kPriorCount * prior * prior;
  double count = kPriorCount;
  for (const auto& [of, residual] : options_.residuals) {
    if (of != action || !std::isfinite(residual)) continue;
    squares += residual * residual;
    ++count;
  }
  return std::sqrt(squares / count);
}

void Predictor::add_metric(AdviceMetric metric, double now, double ratio, double sampling,
                           Advice& advice) const {
  const double error = metric == AdviceMetric::kMemory ? kMemoryError : model_error(advice.action);
  // A change that changes nothing is known better than one that changes all.
  const double size = std::min(std::abs(std::log(std::max(ratio, 1e-6))) * 2, 1.0);
  constexpr double kSmallest = 0.8;
  const double scaled =
      metric == AdviceMetric::kMemory ? error : error * (kSmallest + (1 - kSmallest) * size);
  const double deviation = std::hypot(scaled, sampling);
  advice.metrics.push_back({.metric = metric,
                            .now = now,
                            .expected = now * ratio,
                            .low = now * ratio * std::exp(-kNormal90 * deviation),
                            .high = now * ratio * std::exp(kNormal90 * deviation)});
}

void Predictor::judge(AdviceMetric headline, Advice& advice) const {
  for (const PredictedMetric& metric : advice.metrics) {
    if (metric.metric != headline || metric.now <= 0) continue;
    const bool is_less = is_less_better(headline);
    const auto gain = [&](double value) {
      return is_less ? (value > 0 ? metric.now / value - 1 : 0) : value / metric.now - 1;
    };
    advice.gain_metric = headline;
    advice.gain = gain(metric.expected);
    advice.gain_low = std::min(gain(metric.low), gain(metric.high));
    advice.gain_high = std::max(gain(metric.low), gain(metric.high));
    advice.is_recommended = advice.gain_low > kGainMin;
  }
}

void Predictor::predict(const Variation& variation, AdviceMetric headline, Advice& advice) const {
  const std::vector<ReplayRequest> requests = changed(variation);
  const ReplayLoad load{.clients = clients_};
  const ReplayOutcome then = replay(requests, variation.engine, variation.cost, load);
  std::vector<ReplayOutcome> parts;
  for (std::size_t k = 0; k < kParts; ++k) {
    parts.push_back(replay(without(requests, k), variation.engine, variation.cost, load));
  }
  const auto add = [&](AdviceMetric metric, AdviceMetric like, double now) {
    const double before = value_of(present_, like);
    const double after = value_of(then, like);
    if (before <= 0 || after <= 0) return;
    std::vector<double> ratios;
    for (std::size_t k = 0; k < kParts; ++k) {
      const double part = value_of(present_parts_[k], like);
      if (part > 0 && value_of(parts[k], like) > 0) {
        ratios.push_back(std::log(value_of(parts[k], like) / part));
      }
    }
    add_metric(metric, now, after / before, jackknife_error(ratios), advice);
  };
  for (const AdviceMetric metric : {AdviceMetric::kThroughput, AdviceMetric::kInterToken,
                                    AdviceMetric::kFirstToken, AdviceMetric::kWork}) {
    add(metric, metric, value_of(present_, metric));
  }
  const Measured& measured = sample_.measured;
  if (measured.work_s > 0) {
    const double work = value_of(present_, AdviceMetric::kWork);
    if (measured.joules > 0) {
      add(AdviceMetric::kEnergy, AdviceMetric::kWork, measured.joules / measured.work_s * work);
    }
    if (measured.money > 0) {
      add(AdviceMetric::kMoney, AdviceMetric::kWork, measured.money / measured.work_s * work);
    }
  }
  if (const double now = memory_bytes(); now > 0) {
    constexpr double kPage = 32;
    const double pages =
        static_cast<double>(then.pages_peak) * variation.kv_bytes_per_token -
        static_cast<double>(present_.pages_peak) * sample_.facts.kv_bytes_per_token;
    const double answers =
        variation.engine.response_cache_bytes > 0 && sample_.facts.engine.response_cache_bytes == 0
            ? std::min(variation.engine.response_cache_bytes,
                       static_cast<double>(then.requests - then.given_again) *
                               ReplayEngine::kAnswerBytes +
                           then.computed_answer_tokens * ReplayEngine::kTokenBytes)
            : 0;
    add_metric(AdviceMetric::kMemory, now,
               (now + kPage * pages + variation.memory_change + answers) / now, 0, advice);
  }
  judge(headline, advice);
}

}  // namespace paring::advise
