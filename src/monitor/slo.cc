// SPDX-License-Identifier: Apache-2.0
#include "monitor/slo.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "base/text.h"

namespace paring::monitor {

namespace {

constexpr const char* kKindNames[] = {
#define PARING_X(name, text) text,
    PARING_SLO_KINDS(PARING_X)
#undef PARING_X
};
constexpr const char* kUnitNames[] = {
#define PARING_X(name, text) text,
    PARING_BUDGET_UNITS(PARING_X)
#undef PARING_X
};

template <typename Enum, std::size_t N>
std::optional<Enum> enum_of(const char* const (&names)[N], std::string_view name) {
  for (std::size_t i = 0; i < N; ++i) {
    if (name == names[i]) return static_cast<Enum>(i);
  }
  return std::nullopt;
}

// The workbook's: part of the error budget, in this long, and a twelfth of it.
struct Danger {
  double part;
  double long_s;
};
constexpr Danger kDangers[] = {
    {0.02, kHourSeconds}, {0.05, 6 * kHourSeconds}, {0.10, 3 * kDaySeconds}};
constexpr double kShortPart = 12;

constexpr int kFirstClientError = 400;
constexpr int kFirstServerError = 500;
constexpr double kTargetMin = 0.5;
constexpr double kTargetMax = 0.99999;
constexpr double kSecondsMax = 86400;
constexpr double kAmountMax = 1e18;
constexpr double kRequestsMax = 1e9;
constexpr double kMonthSeconds = 30 * kDaySeconds;
constexpr double kLittle = 1e-9;
// Nobody waits for a batch's line: its times are no measure of the service.
constexpr std::string_view kBatchIds = "batch_req_";

bool passes(const std::string& wanted, const std::string& found) {
  return wanted.empty() || wanted == found;
}

bool passes(const SloFilters& filters, const store::TrafficRequest& row) {
  return passes(filters.model, row.model) && passes(filters.tenant, row.tenant) &&
         passes(filters.variant, row.variant) && passes(filters.route, row.route);
}

enum class Outcome { kAnswered, kFailed, kLeft, kUncounted };

Outcome outcome_of(const Slo& slo, const store::TrafficRequest& row) {
  if (row.status >= kFirstServerError) return Outcome::kFailed;
  if (row.status >= kFirstClientError) {
    return slo.counts_client_errors ? Outcome::kFailed : Outcome::kUncounted;
  }
  if (row.end == "error") return Outcome::kFailed;
  return row.end == "cancelled" || !row.is_complete ? Outcome::kLeft : Outcome::kAnswered;
}

std::optional<double> gap_of(const store::TrafficRequest& row) {
  const std::int64_t tokens = row.tokens.answer_visible + row.tokens.answer_reasoning;
  if (tokens < 2 || !row.seconds.total || !row.seconds.first_token) return std::nullopt;
  return (*row.seconds.total - *row.seconds.first_token) / static_cast<double>(tokens - 1);
}

// Whether the limits hold. Nothing: this kind of request has none of these times, or its client
// left before they could be told.
std::optional<bool> is_within(const Slo& slo, const store::TrafficRequest& row, Outcome outcome) {
  bool is_told = false;
  bool is_late = false;
  const auto hold = [&](const std::optional<double>& limit, const std::optional<double>& seconds) {
    if (!limit || !seconds) return;
    is_told = true;
    is_late = is_late || *seconds > *limit;
  };
  hold(slo.first_token_s, row.seconds.first_token);
  hold(slo.inter_token_s, gap_of(row));
  if (outcome == Outcome::kAnswered) {
    hold(slo.end_to_end_s, row.seconds.total);
  } else {
    // Who gave up after the limit did so since it was late; before it, nothing is known.
    const double waited = row.seconds.total.value_or(0);
    if (slo.first_token_s && !row.seconds.first_token && waited > *slo.first_token_s) return false;
    if (slo.end_to_end_s && waited > *slo.end_to_end_s) return false;
    if (slo.end_to_end_s && !is_late) return std::nullopt;
  }
  if (!is_told) return std::nullopt;
  return !is_late;
}

double used_of(const Slo& slo, const store::TrafficRequest& row) {
  switch (slo.unit) {
    case BudgetUnit::kMoney:
      return row.money.hardware + row.money.energy + row.money.tokens;
    case BudgetUnit::kJoules:
      return row.joules;
    case BudgetUnit::kTokens:
      break;
  }
  const store::TrafficTokens& tokens = row.tokens;
  return static_cast<double>(tokens.prompt_fresh + tokens.prompt_cached + tokens.answer_visible +
                             tokens.answer_reasoning);
}

Error wrong(const std::string& field, const std::string& value, const std::string& takes) {
  return invalid_argument(fmt::format("{} is {}", field, value), "it takes " + takes);
}

Result<void> check_number(const char* field, double value, double least, double most) {
  if (value >= least && value <= most) return {};
  return wrong(field, fmt::format("{:g}", value), fmt::format("{:g} to {:g}", least, most));
}

Result<void> check_rules(const Slo& slo) {
  if (slo.burn_rules.empty() || slo.burn_rules.size() > kBurnRulesMax) {
    return wrong("burn_rates", fmt::format("{} rules", slo.burn_rules.size()),
                 fmt::format("1 to {} rules", kBurnRulesMax));
  }
  const bool is_share = slo.kind != SloKind::kBudget && !slo.is_mean;
  const double most = slo.kind == SloKind::kBudget ? kMinutesSecondsMax
                                                   : std::min(slo.window_s, kMinutesSecondsMax);
  for (const BurnRule& rule : slo.burn_rules) {
    if (!(rule.short_s >= kMinuteSeconds && rule.short_s < rule.long_s && rule.long_s <= most)) {
      return wrong(
          "burn_rates",
          fmt::format("{:g} over {:g} s and {:g} s", rule.rate, rule.long_s, rule.short_s),
          fmt::format("a long time of at most {:g} s (the window, or 3 days) and a shorter "
                      "one of at least {:g} s",
                      most, kMinuteSeconds));
    }
    const double highest = is_share ? 1 / (1 - slo.target) : kAmountMax;
    if (!(rule.rate > 0 && rule.rate < highest)) {
      return wrong("burn_rates", fmt::format("a rate of {:g}", rule.rate),
                   fmt::format("more than 0 and less than {:g}: with this target no failure of all "
                               "requests burns faster",
                               highest));
    }
  }
  return {};
}

Result<void> check_limits(const Slo& slo) {
  const std::optional<double>* const limits[] = {&slo.first_token_s, &slo.inter_token_s,
                                                 &slo.end_to_end_s};
  std::size_t given = 0;
  for (const std::optional<double>* limit : limits) {
    if (!*limit) continue;
    ++given;
    if (!(**limit > 0 && **limit <= kSecondsMax)) {
      return wrong("a limit", fmt::format("{:g} s", **limit),
                   fmt::format("more than 0, to {:g} s", kSecondsMax));
    }
  }
  const bool is_latency = slo.kind == SloKind::kLatency;
  const bool takes = is_latency || slo.kind == SloKind::kGoodput;
  const std::size_t most = is_latency ? 1 : takes ? std::size(limits) : 0;
  if (given > most || (takes && given == 0)) {
    return wrong(fmt::format("the number of limits of '{}'", slo_kind_name(slo.kind)),
                 std::to_string(given),
                 is_latency ? "one of ttft, inter_token and end_to_end"
                 : takes    ? "one to three of ttft, inter_token and end_to_end"
                            : "none of ttft, inter_token and end_to_end");
  }
  return {};
}

Result<void> check_kind(const Slo& slo) {
  PARING_TRY_VOID(check_limits(slo));
  if (slo.kind == SloKind::kQuality) {
    if (slo.score.empty()) return wrong("score", "empty", "the name of a score, such as live_kl");
    if (slo.at_least.has_value() == slo.at_most.has_value()) {
      return wrong("the limit of 'quality'", slo.at_least ? "given twice" : "missing",
                   "one of at_least and at_most");
    }
    const double limit = slo.at_least.value_or(slo.at_most.value_or(0));
    if (!std::isfinite(limit) || (slo.is_mean && !(limit > 0))) {
      return wrong(slo.at_least ? "at_least" : "at_most", fmt::format("{:g}", limit),
                   slo.is_mean ? "a number of more than 0 for a mean" : "a number");
    }
    if (!slo.filters.model.empty() || !slo.filters.variant.empty() || !slo.filters.route.empty()) {
      return wrong("a filter of 'quality'", "model, variant or route",
                   "tenant: scores know no other");
    }
  }
  if (slo.kind == SloKind::kBudget) {
    PARING_TRY_VOID(
        check_number("amount", slo.amount, std::numeric_limits<double>::min(), kAmountMax));
  }
  return {};
}

}  // namespace

const char* slo_kind_name(SloKind kind) noexcept {
  return kKindNames[static_cast<std::size_t>(kind)];
}
std::optional<SloKind> slo_kind_of(std::string_view name) noexcept {
  return enum_of<SloKind>(kKindNames, name);
}
const char* budget_unit_name(BudgetUnit unit) noexcept {
  return kUnitNames[static_cast<std::size_t>(unit)];
}
std::optional<BudgetUnit> budget_unit_of(std::string_view name) noexcept {
  return enum_of<BudgetUnit>(kUnitNames, name);
}

bool is_slo_name(std::string_view name) noexcept {
  return !name.empty() && name.size() <= kSloNameBytesMax && std::ranges::all_of(name, [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           c == '-';
  });
}

std::vector<BurnRule> default_burn_rules(double window_s, double target) {
  const double reachable = kReachablePart / (1 - target);
  std::vector<BurnRule> rules;
  for (const Danger& danger : kDangers) {
    if (danger.long_s > window_s) continue;
    const double rate = std::max(1.0, danger.part * window_s / danger.long_s);
    rules.push_back({std::min(rate, reachable), danger.long_s, danger.long_s / kShortPart});
  }
  return rules;
}

std::vector<BurnRule> default_budget_rules(bool is_monthly) {
  if (is_monthly) return default_burn_rules(kMonthSeconds, kTargetMax);
  // A quarter of the day's in an hour, half of it in six.
  return {{6, kHourSeconds, 5 * kMinuteSeconds}, {2, 6 * kHourSeconds, 30 * kMinuteSeconds}};
}

std::vector<BurnRule> default_mean_rules() { return {{1, kDaySeconds, kHourSeconds}}; }

Result<void> check_slo(const Slo& slo) {
  if (!is_slo_name(slo.name)) {
    return wrong("the name of an objective", "'" + escape_control(slo.name) + "'",
                 fmt::format("1 to {} of a-z A-Z 0-9 _ -", kSloNameBytesMax));
  }
  for (const auto& [field, text] :
       std::initializer_list<std::pair<const char*, const std::string*>>{
           {"description", &slo.description},
           {"model", &slo.filters.model},
           {"tenant", &slo.filters.tenant},
           {"variant", &slo.filters.variant},
           {"route", &slo.filters.route},
           {"score", &slo.score},
           {"source", &slo.source},
           {"severity", &slo.severity},
           {"slow_severity", &slo.slow_severity}}) {
    if (text->size() > kSloTextBytesMax) {
      return wrong(field, fmt::format("{} bytes long", text->size()),
                   fmt::format("at most {} bytes", kSloTextBytesMax));
    }
  }
  if (!is_slo_name(slo.severity) || !is_slo_name(slo.slow_severity)) {
    return wrong("a severity", "'" + escape_control(slo.severity) + "'", "a word such as page");
  }
  PARING_TRY_VOID(check_number("target", slo.target, kTargetMin, kTargetMax));
  PARING_TRY_VOID(check_number("window", slo.window_s, kWindowSecondsMin, kWindowSecondsMax));
  PARING_TRY_VOID(check_number("min_requests", slo.requests_min, 1, kRequestsMax));
  PARING_TRY_VOID(check_number("fire_after", slo.fire_after_s, 0, kDaySeconds));
  PARING_TRY_VOID(check_number("resolve_after", slo.resolve_after_s, 0, kDaySeconds));
  PARING_TRY_VOID(check_number("resolve_ratio", slo.resolve_ratio, kTargetMin / 5, 1));
  PARING_TRY_VOID(check_number("no_data_after", slo.no_data_after_s, 0, kWindowSecondsMax));
  PARING_TRY_VOID(check_number("re_notify", slo.re_notify_s, 0, kWindowSecondsMax));
  PARING_TRY_VOID(check_kind(slo));
  return check_rules(slo);
}

std::optional<double> slo_bad(const Slo& slo, const store::TrafficRequest& row) noexcept {
  if (slo.kind == SloKind::kQuality || !passes(slo.filters, row)) return std::nullopt;
  if (slo.kind == SloKind::kBudget) return used_of(slo, row);
  const Outcome outcome = outcome_of(slo, row);
  if (outcome == Outcome::kUncounted) return std::nullopt;
  if (slo.kind == SloKind::kErrorRate) return outcome == Outcome::kFailed ? 1.0 : 0.0;
  if (row.id.starts_with(kBatchIds)) return std::nullopt;
  if (outcome == Outcome::kFailed) {
    if (slo.kind == SloKind::kGoodput) return 1.0;
    return std::nullopt;
  }
  const std::optional<bool> is_good = is_within(slo, row, outcome);
  if (!is_good) return std::nullopt;
  return *is_good ? 0.0 : 1.0;
}

std::optional<double> slo_bad(const Slo& slo, const SloScore& score) noexcept {
  if (slo.kind != SloKind::kQuality || score.name != slo.score || !std::isfinite(score.value) ||
      !passes(slo.source, score.source) || !passes(slo.filters.tenant, score.tenant)) {
    return std::nullopt;
  }
  if (slo.is_mean) return score.value;
  const bool is_bad = slo.at_least ? score.value < *slo.at_least : score.value > *slo.at_most;
  return is_bad ? 1.0 : 0.0;
}

double burn_rate(const Slo& slo, const SloSum& sum, double seconds) noexcept {
  if (slo.kind == SloKind::kBudget) {
    const double period = slo.is_monthly ? kMonthSeconds : kDaySeconds;
    return sum.bad / (slo.amount * seconds / period);
  }
  if (sum.events <= 0) return 0;
  const double share = sum.bad / sum.events;
  if (!slo.is_mean) return share / (1 - slo.target);
  return slo.at_most ? share / *slo.at_most : *slo.at_least / std::max(share, kLittle);
}

double budget_left(const Slo& slo, const SloSum& sum) noexcept {
  if (slo.kind == SloKind::kBudget) return 1 - sum.bad / slo.amount;
  return 1 - burn_rate(slo, sum, slo.window_s);
}

double end_of(const store::TrafficRequest& row) noexcept {
  return row.started_s + row.seconds.total.value_or(0);
}

std::string slo_identity(const Slo& slo) {
  const auto number = [](const std::optional<double>& value) {
    return value ? fmt::format("{}", *value) : std::string("-");
  };
  return fmt::format(
      "{} model={} tenant={} variant={} route={} {} {} {} {} score={} source={} {} {} {} {}",
      slo_kind_name(slo.kind), slo.filters.model, slo.filters.tenant, slo.filters.variant,
      slo.filters.route, number(slo.first_token_s), number(slo.inter_token_s),
      number(slo.end_to_end_s), slo.counts_client_errors, slo.score, slo.source,
      number(slo.at_least), number(slo.at_most), slo.is_mean, budget_unit_name(slo.unit));
}

}  // namespace paring::monitor
