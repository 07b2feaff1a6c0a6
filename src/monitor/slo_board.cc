// SPDX-License-Identifier: Apache-2.0
#include "monitor/slo_board.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/text.h"

namespace paring::monitor {

namespace {

enum class Cause : std::uint8_t { kBurn, kNoData, kExhausted };

struct Alert {
  Cause cause = Cause::kBurn;
  std::size_t rule = 0;  // of burn_rules
  AlertStanding standing;
};

constexpr const char* kAlertNames[] = {"ParingSloBurnRate", "ParingSloNoData",
                                       "ParingBudgetExhausted"};

Alert alert_of(const Slo& slo, Cause cause, std::size_t rule) {
  Alert alert{.cause = cause, .rule = rule, .standing = {}};
  AlertLabels labels = {{"alertname", kAlertNames[static_cast<std::size_t>(cause)]},
                        {"objective", slo.name},
                        {"kind", slo_kind_name(slo.kind)},
                        {"severity", slo.severity}};
  for (const auto& [name, value] :
       std::initializer_list<std::pair<const char*, std::string>>{{"model", slo.filters.model},
                                                                  {"tenant", slo.filters.tenant},
                                                                  {"variant", slo.filters.variant},
                                                                  {"route", slo.filters.route}}) {
    if (!value.empty()) labels[name] = value;
  }
  AlertStanding& standing = alert.standing;
  switch (cause) {
    case Cause::kBurn: {
      const BurnRule& burn = slo.burn_rules[rule];
      standing.name = "burn-" + window_text(burn.long_s);
      standing.limit = burn.rate;
      labels["window"] = window_text(burn.long_s);
      if (burn.long_s >= kDaySeconds) labels["severity"] = slo.slow_severity;
      break;
    }
    case Cause::kNoData:
      standing.name = "no-data";
      standing.limit = slo.no_data_after_s;
      break;
    case Cause::kExhausted:
      standing.name = "exhausted";
      standing.limit = 1;
      break;
  }
  standing.labels = std::move(labels);
  return alert;
}

std::string summary_of(const Slo& slo, const Alert& alert, const BurnStanding* burn) {
  switch (alert.cause) {
    case Cause::kBurn:
      return fmt::format(
          "{}: burns {:.3g} times as fast as allowed over {}, {:.3g} times over {} (limit {:.3g})",
          slo.name, burn->long_rate, window_text(burn->rule.long_s), burn->short_rate,
          window_text(burn->rule.short_s), burn->rule.rate);
    case Cause::kNoData:
      return fmt::format("{}: nothing was counted for {}", slo.name,
                         format_duration(alert.standing.value));
    case Cause::kExhausted:
      break;
  }
  return fmt::format("{}: {:.3g} of the {}'s {:g} {} are used", slo.name, alert.standing.value,
                     slo.is_monthly ? "month" : "day", slo.amount, budget_unit_name(slo.unit));
}

void cut(SloRing::Cell& cell, const std::vector<SloRing::Cell>& minutes, std::int64_t from) {
  constexpr std::int64_t kMinutesPerHour = 60;
  for (const SloRing::Cell& minute : minutes) {
    if (minute.period < from || minute.period / kMinutesPerHour != cell.period) continue;
    cell.sum.events -= minute.sum.events;
    cell.sum.bad -= minute.sum.bad;
  }
}

}  // namespace

struct SloBoard::Objective {
  Objective(Slo described, double now_s) : slo(std::move(described)), began_s(now_s) {
    for (std::size_t i = 0; i < slo.burn_rules.size(); ++i) {
      alerts.push_back(alert_of(slo, Cause::kBurn, i));
    }
    if (slo.no_data_after_s > 0) alerts.push_back(alert_of(slo, Cause::kNoData, 0));
    if (slo.kind == SloKind::kBudget) alerts.push_back(alert_of(slo, Cause::kExhausted, 0));
    burns.resize(slo.burn_rules.size());
  }

  // How it stands, but for alerts.
  SloStanding standing(double now_s) const {
    SloStanding found;
    found.slo = slo;
    const std::lock_guard lock(mutex);
    found.sum = slo.kind == SloKind::kBudget
                    ? window.since(period_begin(now_s, slo.is_monthly), now_s)
                    : window.last(now_s, slo.window_s).sum;
    found.left = budget_left(slo, found.sum);
    found.ever = ever;
    found.last_event_s = last_event_s;
    for (const BurnRule& rule : slo.burn_rules) {
      const SloSpan all = window.last(now_s, rule.long_s);
      const SloSpan recent = window.last(now_s, rule.short_s);
      found.burns.push_back({rule, burn_rate(slo, all.sum, all.seconds),
                             burn_rate(slo, recent.sum, recent.seconds), all.sum.events,
                             recent.sum.events});
    }
    return found;
  }

  const Slo slo;
  const double began_s;
  mutable std::mutex mutex;  // guards the following
  SloWindow window;
  SloSum ever;
  double last_event_s = 0;
  // Guarded by alerts_mutex_ of the board.
  std::vector<Alert> alerts;
  std::vector<BurnStanding> burns;
  double silenced_until_s = 0;
  std::string silence_comment;
  double told_s = 0;
};

namespace {

AlertSign burn_sign(const Slo& slo, const BurnStanding& burn) {
  if (burn.long_events < slo.requests_min) return AlertSign::kCalm;
  const double rate = burn.rule.rate;
  if (burn.long_rate >= rate && burn.short_rate >= rate) return AlertSign::kDanger;
  const double low = rate * slo.resolve_ratio;
  if (burn.long_rate < low) return AlertSign::kCalm;
  // Nobody asked lately: that is no proof that it is well again.
  if (burn.short_events <= 0) return AlertSign::kUnclear;
  return burn.short_rate < low ? AlertSign::kCalm : AlertSign::kUnclear;
}

}  // namespace

bool AlertNotice::is_firing() const noexcept {
  return std::ranges::any_of(alerts, [](const Alert& alert) { return alert.is_firing; });
}

std::string window_text(double seconds) {
  const auto whole = static_cast<std::int64_t>(std::llround(seconds));
  constexpr std::pair<std::int64_t, char> kUnits[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}};
  for (const auto& [unit, letter] : kUnits) {
    if (whole >= unit && whole % unit == 0) return fmt::format("{}{}", whole / unit, letter);
  }
  return fmt::format("{}s", whole);
}

SloBoard::SloBoard(std::vector<Slo> objectives, double now_s) {
  PARING_CHECK(objectives.size() <= kObjectivesMax, "too many objectives");
  for (Slo& slo : objectives) {
    objectives_.push_back(std::make_unique<Objective>(std::move(slo), now_s));
  }
}

SloBoard::~SloBoard() = default;

void SloBoard::observe(const store::TrafficRequest& row, double now_s) noexcept {
  for (const auto& objective : objectives_) {
    if (const auto bad = slo_bad(objective->slo, row)) count(*objective, end_of(row), now_s, *bad);
  }
}

void SloBoard::observe(const SloScore& score, double now_s) noexcept {
  for (const auto& objective : objectives_) {
    if (const auto bad = slo_bad(objective->slo, score)) count(*objective, now_s, now_s, *bad);
  }
}

void SloBoard::count(Objective& objective, double time_s, double now_s, double bad) noexcept {
  const std::lock_guard lock(objective.mutex);
  const double at_s = std::min(time_s, now_s);
  const SloSum one{1, bad};
  objective.window.add(at_s, one);
  objective.ever.events += 1;
  objective.ever.bad += bad;
  objective.last_event_s = std::max(objective.last_event_s, at_s);
}

std::vector<AlertNotice> SloBoard::evaluate(double now_s) {
  std::vector<AlertNotice> notices;
  for (const auto& objective : objectives_) {
    step(*objective, now_s);
    if (auto notice = notice_of(*objective, now_s)) notices.push_back(std::move(*notice));
  }
  return notices;
}

void SloBoard::step(Objective& objective, double now_s) {
  const Slo& slo = objective.slo;
  const SloStanding now = objective.standing(now_s);
  const std::lock_guard lock(alerts_mutex_);
  objective.burns = now.burns;
  for (Alert& alert : objective.alerts) {
    AlertStanding& standing = alert.standing;
    AlertSign sign = AlertSign::kCalm;
    AlertTimes times{slo.fire_after_s, slo.resolve_after_s};
    switch (alert.cause) {
      case Cause::kBurn:
        standing.value =
            std::min(now.burns[alert.rule].long_rate, now.burns[alert.rule].short_rate);
        sign = burn_sign(slo, now.burns[alert.rule]);
        break;
      case Cause::kNoData:
        standing.value = now_s - std::max(now.last_event_s, objective.began_s);
        if (standing.value >= slo.no_data_after_s) sign = AlertSign::kDanger;
        times = {0, 0};  // its time is in no_data_after, and one request ends it
        break;
      case Cause::kExhausted:
        standing.value = 1 - now.left;
        if (standing.value >= standing.limit) sign = AlertSign::kDanger;
        break;
    }
    const AlertState before = standing.status.state;
    if (!step_alert(standing.status, sign, times, now_s)) continue;
    changes_.push_back({now_s, slo.name, standing.name, before, standing.status.state,
                        standing.value, standing.limit});
    ++changes_ever_;
    if (changes_.size() > kAlertChangesMax) changes_.pop_front();
  }
}

std::optional<AlertNotice> SloBoard::notice_of(Objective& objective, double now_s) {
  const Slo& slo = objective.slo;
  const std::lock_guard lock(alerts_mutex_);
  if (objective.silenced_until_s > now_s) return std::nullopt;
  objective.silenced_until_s = 0;
  objective.silence_comment.clear();
  bool has_news = false;
  AlertNotice notice{.objective = slo.name, .alerts = {}};
  for (const Alert& alert : objective.alerts) {
    const AlertStanding& standing = alert.standing;
    const bool is_firing = standing.status.state == AlertState::kFiring;
    has_news = has_news || is_firing != standing.is_told;
    if (!is_firing && !standing.is_told) continue;
    const BurnStanding* const burn =
        alert.cause == Cause::kBurn ? &objective.burns[alert.rule] : nullptr;
    AlertLabels annotations = {{"summary", summary_of(slo, alert, burn)}};
    if (!slo.description.empty()) annotations["description"] = slo.description;
    notice.alerts.push_back({.is_firing = is_firing,
                             .labels = standing.labels,
                             .annotations = std::move(annotations),
                             .starts_s = standing.status.fired_s,
                             .ends_s = is_firing ? 0 : standing.status.resolved_s});
  }
  const bool is_due =
      slo.re_notify_s > 0 && notice.is_firing() && now_s - objective.told_s >= slo.re_notify_s;
  if (notice.alerts.empty() || (!has_news && !is_due)) return std::nullopt;
  for (Alert& alert : objective.alerts) {
    alert.standing.is_told = alert.standing.status.state == AlertState::kFiring;
  }
  objective.told_s = now_s;
  return notice;
}

std::vector<SloStanding> SloBoard::standings(double now_s) const {
  std::vector<SloStanding> all;
  for (const auto& objective : objectives_) {
    SloStanding found = objective->standing(now_s);
    const std::lock_guard lock(alerts_mutex_);
    if (objective->silenced_until_s > now_s) {
      found.silenced_until_s = objective->silenced_until_s;
      found.silence_comment = objective->silence_comment;
    }
    found.told_s = objective->told_s;
    for (const Alert& alert : objective->alerts) found.alerts.push_back(alert.standing);
    all.push_back(std::move(found));
  }
  return all;
}

std::vector<AlertChange> SloBoard::changes() const {
  const std::lock_guard lock(alerts_mutex_);
  return {changes_.begin(), changes_.end()};
}

std::size_t SloBoard::changes_ever() const {
  const std::lock_guard lock(alerts_mutex_);
  return changes_ever_;
}

bool SloBoard::has(std::string_view name) const noexcept {
  return std::ranges::any_of(objectives_, [&](const auto& each) { return each->slo.name == name; });
}

Result<void> SloBoard::silence(std::string_view name, double until_s, std::string comment,
                               double now_s) {
  const auto found = std::ranges::find(
      objectives_, name, [](const auto& o) -> std::string_view { return o->slo.name; });
  if (found == objectives_.end()) {
    return Error{ErrorCode::kNotFound,
                 fmt::format("there is no objective '{}'", escape_control(name)),
                 "GET /v1/alerts lists them"};
  }
  if (!(until_s - now_s <= kSilenceSecondsMax)) {
    return invalid_argument("the silence is too long",
                            fmt::format("it takes 0 to {:g} seconds", kSilenceSecondsMax));
  }
  const std::lock_guard lock(alerts_mutex_);
  (*found)->silenced_until_s = until_s > now_s ? until_s : 0;
  (*found)->silence_comment = until_s > now_s ? std::move(comment) : "";
  return {};
}

SloMemory SloBoard::remember(double now_s) const {
  SloMemory memory{.at_s = now_s, .objectives = {}, .changes = changes()};
  for (const auto& objective : objectives_) {
    SloMemory::Objective kept;
    kept.name = objective->slo.name;
    kept.identity = slo_identity(objective->slo);
    {
      const std::lock_guard lock(objective->mutex);
      kept.minutes = objective->window.minutes().cells();
      kept.hours = objective->window.hours().cells();
      kept.ever = objective->ever;
      kept.last_event_s = objective->last_event_s;
    }
    const std::lock_guard lock(alerts_mutex_);
    kept.silenced_until_s = objective->silenced_until_s;
    kept.silence_comment = objective->silence_comment;
    kept.told_s = objective->told_s;
    for (const Alert& alert : objective->alerts) {
      kept.alerts.push_back({alert.standing.name, alert.standing.status, alert.standing.is_told});
    }
    memory.objectives.push_back(std::move(kept));
  }
  return memory;
}

std::vector<std::string> SloBoard::recall(const SloMemory& memory,
                                          std::optional<double> counts_until_s) {
  std::vector<std::string> left_out;
  for (const SloMemory::Objective& kept : memory.objectives) {
    const auto found =
        std::ranges::find(objectives_, kept.name, [](const auto& o) { return o->slo.name; });
    if (found == objectives_.end() || slo_identity((*found)->slo) != kept.identity) {
      left_out.push_back(kept.name);
      continue;
    }
    Objective& objective = **found;
    std::vector<SloRing::Cell> minutes = kept.minutes;
    std::vector<SloRing::Cell> hours = kept.hours;
    SloSum ever = kept.ever;
    if (counts_until_s) {
      const auto from = static_cast<std::int64_t>(std::floor(*counts_until_s / kMinuteSeconds));
      for (SloRing::Cell& hour : hours) cut(hour, minutes, from);
      for (const SloRing::Cell& minute : minutes) {
        if (minute.period < from) continue;
        ever.events -= minute.sum.events;
        ever.bad -= minute.sum.bad;
      }
      std::erase_if(minutes, [&](const SloRing::Cell& cell) { return cell.period >= from; });
    }
    {
      const std::lock_guard lock(objective.mutex);
      objective.window.restore(minutes, hours);
      objective.ever = ever;
      objective.last_event_s = kept.last_event_s;
    }
    const std::lock_guard lock(alerts_mutex_);
    objective.silenced_until_s = kept.silenced_until_s;
    objective.silence_comment = kept.silence_comment;
    objective.told_s = kept.told_s;
    for (Alert& alert : objective.alerts) {
      const auto same =
          std::ranges::find(kept.alerts, alert.standing.name, &SloMemory::Objective::Alert::name);
      if (same == kept.alerts.end()) continue;
      alert.standing.status = same->status;
      alert.standing.is_told = same->is_told;
    }
  }
  const std::lock_guard lock(alerts_mutex_);
  changes_.assign(memory.changes.begin(), memory.changes.end());
  return left_out;
}

}  // namespace paring::monitor
