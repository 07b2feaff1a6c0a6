// SPDX-License-Identifier: Apache-2.0
#include "advise/advice_json.h"

#include <nlohmann/json.hpp>

namespace paring::advise {

namespace {

using Json = nlohmann::ordered_json;

Json metric_json(const PredictedMetric& metric) {
  return {{"metric", advice_metric_name(metric.metric)},
          {"unit", advice_metric_unit(metric.metric)},
          {"now", metric.now},
          {"expected", metric.expected},
          {"low", metric.low},
          {"high", metric.high}};
}

Json outcome_json(const ReplayOutcome& outcome) {
  return {{"requests", outcome.requests},
          {"given_again", outcome.given_again},
          {"steps", outcome.steps},
          {"wall_seconds", outcome.wall_s},
          {"busy_seconds", outcome.busy_s},
          {"prompt_tokens", outcome.prompt_tokens},
          {"cached_tokens", outcome.cached_tokens},
          {"answer_tokens_per_second", outcome.answer_tokens_per_second()},
          {"inter_token_seconds", outcome.gap_s},
          {"first_token_seconds", outcome.first_token_s},
          {"queue_seconds", outcome.queue_s},
          {"running", outcome.running}};
}

Json json_of(const Advice& advice, std::size_t number) {
  Json json = {{"number", number},
               {"action", advice_action_name(advice.action)},
               {"title", advice.title},
               {"evidence", advice.evidence},
               {"commands", advice.commands},
               {"metrics", Json::array()},
               {"loss", advice.loss},
               {"gain",
                {{"metric", advice_metric_name(advice.gain_metric)},
                 {"expected", advice.gain},
                 {"low", advice.gain_low},
                 {"high", advice.gain_high}}},
               {"is_recommended", advice.is_recommended}};
  if (!advice.change.empty()) json["change"] = Json::parse(advice.change);
  if (!advice.caution.empty()) json["caution"] = advice.caution;
  for (const PredictedMetric& metric : advice.metrics) {
    json["metrics"].push_back(metric_json(metric));
  }
  return json;
}

}  // namespace

std::string advice_json(const TrafficSample& sample, const AdviceReport& report) {
  Json json;
  json["model"] = sample.model;
  json["variant"] = sample.facts.variant;
  json["path"] = sample.facts.path;
  json["from_s"] = sample.from_s;
  json["to_s"] = sample.to_s;
  json["requests"] = sample.requests.size();
  json["failed"] = sample.failed;
  json["repeated"] = sample.repeated;
  json["clients"] = report.clients;
  json["correction"] = report.correction;
  json["steps"] = {{"count", sample.steps.steps()}, {"spread", sample.steps.spread()}};
  json["measured"] = {{"requests", sample.measured.requests},
                      {"engine_seconds", sample.measured.work_s},
                      {"inter_token_seconds", sample.measured.gap_s},
                      {"first_token_seconds", sample.measured.first_token_s},
                      {"cached_share", sample.measured.cached_share}};
  json["present"] = outcome_json(report.present);
  json["present_paced"] = outcome_json(report.present_paced);
  json["advice"] = Json::array();
  for (std::size_t i = 0; i < report.advice.size(); ++i) {
    json["advice"].push_back(json_of(report.advice[i], i + 1));
  }
  // A path need not be UTF-8.
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace paring::advise
