// SPDX-License-Identifier: Apache-2.0
// Objectives: what requests should be like, how many of them, and what one request says of that.
// Plain values and pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/traffic_rows.h"

namespace paring::monitor {

// enumerator, name in files and APIs
#define PARING_SLO_KINDS(X)                                                        \
  X(kLatency, "latency")      /* answered requests whose time is within a limit */ \
  X(kGoodput, "goodput")      /* requests that are answered within several */      \
  X(kErrorRate, "error_rate") /* requests that did not fail */                     \
  X(kQuality, "quality")      /* scores of answers on the right side of a limit */ \
  X(kBudget, "budget")        /* what requests use up of an amount a day or month */

enum class SloKind : std::uint8_t {
#define PARING_X(name, text) name,
  PARING_SLO_KINDS(PARING_X)
#undef PARING_X
};
const char* slo_kind_name(SloKind kind) noexcept;
std::optional<SloKind> slo_kind_of(std::string_view name) noexcept;

#define PARING_BUDGET_UNITS(X) \
  X(kMoney, "money")           \
  X(kJoules, "joules")         \
  X(kTokens, "tokens")

enum class BudgetUnit : std::uint8_t {
#define PARING_X(name, text) name,
  PARING_BUDGET_UNITS(PARING_X)
#undef PARING_X
};
const char* budget_unit_name(BudgetUnit unit) noexcept;
std::optional<BudgetUnit> budget_unit_of(std::string_view name) noexcept;

inline constexpr std::size_t kObjectivesMax = 32;
inline constexpr std::size_t kBurnRulesMax = 4;
inline constexpr std::size_t kSloNameBytesMax = 64;
inline constexpr std::size_t kSloTextBytesMax = 256;
inline constexpr double kMinuteSeconds = 60;
inline constexpr double kHourSeconds = 3600;
inline constexpr double kDaySeconds = 86400;
inline constexpr double kWindowSecondsMin = kHourSeconds;
inline constexpr double kWindowSecondsMax = 30 * kDaySeconds;
// Windows up to this are summed to the minute, longer ones to the hour.
inline constexpr double kMinutesSecondsMax = 3 * kDaySeconds;

// Danger: within both of these times the error budget is used up at least `rate` times as fast as
// would leave nothing of it at the window's end (Google's SRE workbook, chapter 5).
struct BurnRule {
  double rate = 1;
  double long_s = kHourSeconds;
  double short_s = 5 * kMinuteSeconds;
  bool operator==(const BurnRule&) const = default;
};

struct SloFilters {
  std::string model;  // all of these: "" matches any
  std::string tenant;
  std::string variant;
  std::string route;
  bool operator==(const SloFilters&) const = default;
};

struct Slo {
  std::string name;  // is_slo_name()
  std::string description;
  SloKind kind = SloKind::kErrorRate;
  SloFilters filters;
  double target = 0.99;  // share of requests (scores) that are good
  double window_s = kWindowSecondsMax;
  // Latency has one of these, goodput one or more: the longest time that is good.
  std::optional<double> first_token_s;
  std::optional<double> inter_token_s;  // mean gap between the tokens of an answer
  std::optional<double> end_to_end_s;
  bool counts_client_errors = false;  // answers 400 to 499 are failures, else they do not count
  // Quality: the name of a score, who gave it ("": anybody), and one of the limits.
  std::string score;
  std::string source;
  std::optional<double> at_least;
  std::optional<double> at_most;
  bool is_mean = false;  // of the mean of the scores, else of the share that is on the right side
  // Budget.
  BudgetUnit unit = BudgetUnit::kTokens;
  double amount = 0;  // a day, or month of UTC
  bool is_monthly = false;
  // Alerts.
  std::string severity = "page";
  std::string slow_severity = "ticket";         // of rules over a day and more
  std::vector<BurnRule> burn_rules;             // at most kBurnRulesMax
  double requests_min = 10;                     // in a rule's long time: fewer are no danger
  double fire_after_s = 0;                      // danger lasts so long before anybody is told
  double resolve_after_s = 5 * kMinuteSeconds;  // and is over for so long
  double resolve_ratio = 0.9;                   // of a rule's rate: only below that it is over
  double no_data_after_s = 0;                   // so long without a request is an alert; 0: never
  double re_notify_s = 4 * kHourSeconds;        // who was told is told again; 0: once is enough
};

// 1 to kSloNameBytesMax of a-z A-Z 0-9 _ -.
bool is_slo_name(std::string_view name) noexcept;

// Those of the workbook: 2 %, 5 % and 10 % of the error budget used in an hour, 6 hours, 3 days, no
// longer than the window, and no rate at which the objective would be kept. Where a target is so
// low that a rate cannot be reached, it is kReachablePart of the highest one.
inline constexpr double kReachablePart = 0.9;
std::vector<BurnRule> default_burn_rules(double window_s, double target);
// What is used of a budget, by an even use of it.
std::vector<BurnRule> default_budget_rules(bool is_monthly);
// A mean by its limit, over a day and an hour.
std::vector<BurnRule> default_mean_rules();

// InvalidArgument, with field, value and limit: what cannot be held or measured.
Result<void> check_slo(const Slo& slo);

// What one request adds to what is bad: 1 or 0; of a budget what it used. Nothing: it does not
// count, by the filters or since the objective does not say anything of it.
std::optional<double> slo_bad(const Slo& slo, const store::TrafficRequest& row) noexcept;

struct SloScore {
  std::string tenant;
  std::string name;
  std::string source;
  double value = 0;
};
// The same of a score; of a mean the value.
std::optional<double> slo_bad(const Slo& slo, const SloScore& score) noexcept;

struct SloSum {
  double events = 0;
  double bad = 0;
};
// How many times as fast as allowed: of what an objective may use in `seconds`. 0 without events.
double burn_rate(const Slo& slo, const SloSum& sum, double seconds) noexcept;
// 1: nothing was used of what is allowed in the objective's window or period; below 0: it is not
// kept.
double budget_left(const Slo& slo, const SloSum& sum) noexcept;

// When a request ended, which decides about the minute it counts in.
double end_of(const store::TrafficRequest& row) noexcept;

// A text that is another when earlier counts do not mean the same.
std::string slo_identity(const Slo& slo);

}  // namespace paring::monitor
