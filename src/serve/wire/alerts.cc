// SPDX-License-Identifier: Apache-2.0
#include "serve/wire/alerts.h"

#include <cmath>
#include <cstdint>
#include <limits>

#include "monitor/alert_webhook.h"
#include "serve/wire/detail/json_text.h"
#include "serve/wire/detail/openai_common.h"
#include "serve/wire/detail/shape_check.h"

namespace paring::serve::wire {

namespace {

constexpr double kAmountMax = std::numeric_limits<double>::max();
constexpr std::int64_t kCountMax = std::numeric_limits<std::int64_t>::max();
constexpr std::size_t kCommentCharactersMax = 256;

using monitor::SloKind;

std::vector<std::string> state_names() {
  std::vector<std::string> names;
#define PARING_X(name, text) names.emplace_back(text);
  PARING_ALERT_STATES(PARING_X)
#undef PARING_X
  return names;
}

std::vector<std::string> kind_names() {
  std::vector<std::string> names;
#define PARING_X(name, text) names.emplace_back(text);
  PARING_SLO_KINDS(PARING_X)
#undef PARING_X
  return names;
}

void append_optional(std::string& out, const char* name, const std::optional<double>& value) {
  if (value) append(out, ",\"", name, "\":", *value);
}
void append_text(std::string& out, const char* name, const std::string& value) {
  if (!value.empty()) append(out, ",\"", name, "\":", json_string(value));
}
// Times that did not come are left out.
void append_time(std::string& out, const char* name, double value) {
  if (value > 0) append(out, ",\"", name, "\":", value);
}

void append_limits(std::string& out, const monitor::Slo& slo) {
  out += ",\"limits\":{";
  std::string fields;
  append_optional(fields, "first_token_seconds", slo.first_token_s);
  append_optional(fields, "inter_token_seconds", slo.inter_token_s);
  append_optional(fields, "end_to_end_seconds", slo.end_to_end_s);
  append_optional(fields, "at_least", slo.at_least);
  append_optional(fields, "at_most", slo.at_most);
  append_text(fields, "score", slo.score);
  append_text(fields, "source", slo.source);
  if (slo.kind == SloKind::kBudget) {
    append(fields, ",\"amount\":", slo.amount, ",\"unit\":\"", monitor::budget_unit_name(slo.unit),
           "\",\"per\":\"", slo.is_monthly ? "month" : "day", '"');
  }
  if (slo.kind == SloKind::kQuality)
    append(fields, ",\"of\":\"", slo.is_mean ? "mean" : "share", '"');
  out += fields.empty() ? fields : fields.substr(1);
  out += '}';
}

void append_filters(std::string& out, const monitor::SloFilters& filters) {
  std::string fields;
  append_text(fields, "model", filters.model);
  append_text(fields, "tenant", filters.tenant);
  append_text(fields, "variant", filters.variant);
  append_text(fields, "route", filters.route);
  append(out, ",\"filters\":{", fields.empty() ? fields : fields.substr(1), '}');
}

void append_burns(std::string& out, const std::vector<monitor::BurnStanding>& burns) {
  out += ",\"burn_rates\":[";
  const char* separator = "";
  for (const monitor::BurnStanding& burn : burns) {
    append(out, separator, "{\"limit\":", burn.rule.rate, ",\"long_seconds\":", burn.rule.long_s,
           ",\"short_seconds\":", burn.rule.short_s, ",\"long\":", burn.long_rate,
           ",\"short\":", burn.short_rate, ",\"long_requests\":", burn.long_events,
           ",\"short_requests\":", burn.short_events, '}');
    separator = ",";
  }
  out += ']';
}

void append_alerts(std::string& out, const std::vector<monitor::AlertStanding>& alerts) {
  out += ",\"alerts\":[";
  const char* separator = "";
  for (const monitor::AlertStanding& alert : alerts) {
    const auto severity = alert.labels.find("severity");
    append(out, separator, "{\"name\":", json_string(alert.name), ",\"state\":\"",
           monitor::alert_state_name(alert.status.state),
           "\",\"severity\":", json_string(severity == alert.labels.end() ? "" : severity->second),
           ",\"value\":", alert.value, ",\"limit\":", alert.limit, ",\"fingerprint\":\"",
           monitor::alert_fingerprint(alert.labels), '"');
    append_time(out, "since", alert.status.since_s);
    append_time(out, "fired", alert.status.fired_s);
    append_time(out, "resolved", alert.status.resolved_s);
    out += '}';
    separator = ",";
  }
  out += ']';
}

void append_objective(std::string& out, const monitor::SloStanding& standing) {
  const monitor::Slo& slo = standing.slo;
  append(out, "{\"name\":", json_string(slo.name), ",\"kind\":\"", monitor::slo_kind_name(slo.kind),
         '"');
  append_text(out, "description", slo.description);
  const bool is_share = slo.kind != SloKind::kBudget && !slo.is_mean;
  if (is_share) append(out, ",\"target\":", slo.target);
  append(out, ",\"window_seconds\":", slo.window_s, ",\"min_requests\":", slo.requests_min);
  append_limits(out, slo);
  append_filters(out, slo.filters);
  append(out, ",\"requests\":", standing.sum.events);
  if (is_share) {
    append(out, ",\"good\":", standing.sum.events - standing.sum.bad);
    if (standing.sum.events > 0) {
      append(out, ",\"ratio\":", 1 - standing.sum.bad / standing.sum.events);
    }
  } else if (slo.kind == SloKind::kBudget) {
    append(out, ",\"used\":", standing.sum.bad);
  } else if (standing.sum.events > 0) {
    append(out, ",\"mean\":", standing.sum.bad / standing.sum.events);
  }
  append(out, ",\"error_budget_remaining\":", standing.left);
  append_time(out, "last_request", standing.last_event_s);
  append_time(out, "silenced_until", standing.silenced_until_s);
  append_text(out, "silence_comment", standing.silence_comment);
  append_time(out, "told", standing.told_s);
  append_burns(out, standing.burns);
  append_alerts(out, standing.alerts);
  out += '}';
}

Shape amount() { return number(-kAmountMax, kAmountMax); }
Shape time() { return number(0, kAmountMax); }

Shape objective_shape() {
  const Shape burn = object(
      {required("limit", amount(), "From which on, in both times, it is a danger."),
       required("long_seconds", amount(), "The long time."),
       required("short_seconds", amount(), "The short one, so that it is over when it is over."),
       required("long", amount(), "Burn rate over the long time."),
       required("short", amount(), "Over the short one."),
       required("long_requests", amount(), "Requests (scores) in it."),
       required("short_requests", amount(), "Requests in the short one.")});
  const Shape alert =
      object({required("name", text(), "Within the objective: burn-1h, no-data, exhausted."),
              required("state", name_of(state_names()), "Of it now."),
              required("severity", text(), "As receivers are told."),
              required("value", amount(), "What is held to the limit."),
              required("limit", amount(), "That it is held to."),
              required("fingerprint", text(), "As in webhooks."),
              field("since", time(), "When the state began; since 1970."),
              field("fired", time(), "When it fired last."),
              field("resolved", time(), "When that was over.")});
  const Shape limits =
      object({field("first_token_seconds", amount(), "Until the first token."),
              field("inter_token_seconds", amount(), "Mean gap between tokens of an answer."),
              field("end_to_end_seconds", amount(), "Until the end."),
              field("at_least", amount(), "Of a score."), field("at_most", amount(), "Of a score."),
              field("score", text(), "Its name."), field("source", text(), "Who gave it."),
              field("of", name_of({"share", "mean"}), "What the limit holds for."),
              field("amount", amount(), "Of a budget."), field("unit", text(), "Of what."),
              field("per", name_of({"day", "month"}), "Of UTC.")});
  const Shape filters =
      object({field("model", text(), "Only its requests."), field("tenant", text(), "Likewise."),
              field("variant", text(), "Likewise."), field("route", text(), "Likewise.")});
  return object(
      {required("name", text(), "Of the objective."),
       required("kind", name_of(kind_names()), "What it is about."),
       field("description", text(), "For people."),
       field("target", number(0, 1), "Share of requests that should be good."),
       required("window_seconds", amount(), "In which."),
       required("min_requests", amount(), "In a burn rate's long time; fewer are no danger."),
       required("limits", limits, "What is good."),
       required("filters", filters, "Whose requests count."),
       required("requests", amount(), "Requests (scores) that counted in the window or period."),
       field("good", amount(), "Of those, good."),
       field("ratio", number(0, 1), "Share of good."),
       field("used", amount(), "Of a budget."),
       field("mean", amount(), "Of the scores."),
       required("error_budget_remaining", amount(),
                "Part of what may go wrong (be used) that is left; below 0: the objective is not "
                "kept."),
       field("last_request", time(), "When the last one counted; since 1970."),
       field("silenced_until", time(), "Nobody is told until then."),
       field("silence_comment", text(), "Why."),
       field("told", time(), "When somebody was last."),
       required("burn_rates", list(burn, 0, monitor::kBurnRulesMax),
                "How many times as fast as allowed."),
       required("alerts", list(alert, 0, monitor::kBurnRulesMax + 2), "Of this objective.")});
}

}  // namespace

std::string alerts_answer(const AlertsView& view) {
  std::string out;
  append(out, "{\"object\":\"alerts\",\"now\":", view.now_s, ",\"objectives\":[");
  const char* separator = "";
  for (const monitor::SloStanding& standing : view.objectives) {
    out += separator;
    append_objective(out, standing);
    separator = ",";
  }
  out += "],\"history\":[";
  separator = "";
  for (auto change = view.changes.rbegin(); change != view.changes.rend(); ++change) {
    append(out, separator, "{\"at\":", change->at_s,
           ",\"objective\":", json_string(change->objective),
           ",\"alert\":", json_string(change->alert), ",\"from\":\"",
           monitor::alert_state_name(change->from), "\",\"to\":\"",
           monitor::alert_state_name(change->to), "\",\"value\":", change->value,
           ",\"limit\":", change->limit, '}');
    separator = ",";
  }
  out += "],\"sinks\":[";
  separator = "";
  for (const monitor::AlertSinkStats& sink : view.sinks) {
    append(out, separator, "{\"name\":", json_string(sink.name), ",\"is_well\":", sink.is_well,
           ",\"waiting\":", sink.waiting);
    for (std::size_t i = 0; i < monitor::kAlertResults; ++i) {
      append(out, ",\"", monitor::alert_result_name(static_cast<monitor::AlertResult>(i)),
             "\":", sink.results[i]);
    }
    out += '}';
    separator = ",";
  }
  return out + "]}";
}

const Shape& alerts_answer_shape() {
  static const Shape shape = [] {
    const Shape change =
        object({required("at", time(), "Since 1970."),
                required("objective", text(), "Whose alert."), required("alert", text(), "Which."),
                required("from", name_of(state_names()), "The state before."),
                required("to", name_of(state_names()), "The one after."),
                required("value", amount(), "What was held to the limit."),
                required("limit", amount(), "That it was held to.")});
    std::vector<Field> sink = {required("name", text(), "The log, or a webhook's."),
                               required("is_well", boolean(), "What was tried last was taken."),
                               required("waiting", integer(0, kCountMax), "Notices.")};
    for (std::size_t i = 0; i < monitor::kAlertResults; ++i) {
      sink.push_back(required(monitor::alert_result_name(static_cast<monitor::AlertResult>(i)),
                              integer(0, kCountMax), "Notices; failed: tries."));
    }
    return object({required("object", name_of({"alerts"}), "The kind of object."),
                   required("now", time(), "The server's time; since 1970."),
                   required("objectives", list(objective_shape(), 0, monitor::kObjectivesMax),
                            "Those of --slo that the key may see; empty: there are none."),
                   required("history", list(change, 0, monitor::kAlertChangesMax),
                            "Changes of alerts, newest first."),
                   required("sinks", list(object(std::move(sink)), 0, monitor::kWebhooksMax + 1),
                            "Who is told.")});
  }();
  return shape;
}

const Shape& silence_request() {
  static const Shape shape =
      object({required("seconds", number(0, monitor::kSilenceSecondsMax),
                       "For so long nobody is told of this objective; 0: from now on they are."),
              field("comment", text(0, kCommentCharactersMax), "Why, for others.")});
  return shape;
}

ApiResult<SilenceCall> read_silence(std::string_view body, const WireRules& rules) {
  ApiResult<Json> json = read_body(body, silence_request(), rules);
  if (!json) return json.error();
  return SilenceCall{number_of(*json, "seconds").value_or(0), text_of(*json, "comment")};
}

std::string silence_answer(const std::string& objective, double until_s) {
  std::string out;
  append(out, "{\"object\":\"silence\",\"objective\":", json_string(objective));
  append_time(out, "silenced_until", until_s);
  return out + "}";
}

const Shape& silence_answer_shape() {
  static const Shape shape =
      object({required("object", name_of({"silence"}), "The kind of object."),
              required("objective", text(), "Which."),
              field("silenced_until", time(), "Since 1970; absent: it is not silenced.")});
  return shape;
}

}  // namespace paring::serve::wire
