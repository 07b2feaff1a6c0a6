// SPDX-License-Identifier: Apache-2.0
#include "improve/labels.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "advise/diagnosis/traffic_cases.h"
#include "base/text.h"

namespace paring::improve {

namespace {

struct ComparisonName {
  Comparison comparison;
  std::string_view text;
};
constexpr std::array kComparisons = {
#define PARING_X(name, text) ComparisonName{Comparison::name, text},
    PARING_COMPARISONS(PARING_X)
#undef PARING_X
};

constexpr std::array<std::string_view, 9> kGoodWords = {
    "good", "right", "correct", "positive", "up", "yes", "like", "thumbs_up", "helpful"};

bool holds_for(const Condition& condition, double number) {
  switch (condition.comparison) {
    case Comparison::kAtLeast:
      return number >= condition.bound;
    case Comparison::kAtMost:
      return number <= condition.bound;
    case Comparison::kAbove:
      return number > condition.bound;
    case Comparison::kBelow:
      return number < condition.bound;
    case Comparison::kEqual:
      return number == condition.bound;
  }
  return false;
}

bool any_holds(std::span<const Condition> conditions, const store::ScoreRow& score) {
  return score.number && std::ranges::any_of(conditions, [&](const Condition& condition) {
           return condition.name == score.name && holds_for(condition, *score.number);
         });
}

bool names(std::span<const Condition> conditions, const std::string& name) {
  return std::ranges::any_of(conditions, [&](const Condition& c) { return c.name == name; });
}

}  // namespace

Result<Condition> parse_condition(const std::string& text) {
  const std::size_t at = text.find_first_of("<>=");
  for (const auto& [comparison, sign] : kComparisons) {
    if (at == std::string::npos || at == 0 || !std::string_view(text).substr(at).starts_with(sign))
      continue;
    Condition condition{text.substr(0, at), comparison, 0};
    const char* const begin = text.data() + at + sign.size();
    const char* const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(begin, end, condition.bound);
    if (error == std::errc() && stop == end && std::isfinite(condition.bound)) return condition;
    break;
  }
  return invalid_argument(fmt::format("'{}' is no condition on a score", escape_control(text)),
                          "write the name of a score, one of >= <= > < = and a number, such as "
                          "'helpful>=0.8'");
}

std::string condition_text(const Condition& condition) {
  const auto found = std::ranges::find(kComparisons, condition.comparison,
                                       [](const ComparisonName& each) { return each.comparison; });
  return fmt::format("{}{}{}", condition.name, found->text, condition.bound);
}

bool is_human(const store::ScoreRow& score) noexcept {
  return std::ranges::find(kHumanSources, score.source) != kHumanSources.end();
}

bool is_good(const store::ScoreRow& score) {
  if (score.type == "correction" || score.type == "preference") return false;
  if (score.number) return *score.number > advise::kBadBelow && *score.number <= 1;
  if (score.type != "categorical" || !score.text) return false;
  return std::ranges::find(kGoodWords, ascii_lower(*score.text)) != kGoodWords.end();
}

Labels labels_of(std::span<const store::ScoreRow> scores, const Scales& scales) {
  Labels labels;
  for (const store::ScoreRow& score : scores) {
    if (score.number) labels.numbers.emplace(score.name, *score.number);
    // A score that a condition names means what the condition says, whoever gave it.
    if (names(scales.good, score.name) || names(scales.bad, score.name)) {
      if (any_holds(scales.good, score)) ++labels.good;
      if (any_holds(scales.bad, score)) ++labels.bad;
      continue;
    }
    // One star of five is not good, though 1 of 1 is.
    if (score.number && std::ranges::find(scales.unknown, score.name) != scales.unknown.end()) {
      continue;
    }
    if (!is_human(score)) continue;
    if (score.type == "preference") {
      if (score.text) labels.better_than.push_back(*score.text);
    } else if (score.type == "correction") {
      if (!labels.correction) labels.correction = score.text;
    } else if (advise::is_bad(score)) {
      ++labels.bad;
    } else if (is_good(score)) {
      ++labels.good;
    }
  }
  return labels;
}

bool meets(const Labels& labels, const Condition& condition) {
  const auto found = labels.numbers.find(condition.name);
  return found != labels.numbers.end() && holds_for(condition, found->second);
}

void SingleTraces::add(const store::TrafficRequest& row) {
  if (row.trace_id.empty()) return;
  const auto [found, is_new] = single_.emplace(row.trace_id, true);
  if (!is_new) found->second = false;
}

bool SingleTraces::is_single(const store::TrafficRequest& row) const {
  const auto found = single_.find(row.trace_id);
  return found != single_.end() && found->second;
}

Result<AnswerScores> AnswerScores::open(const store::Scores& scores, const std::string& tenant) {
  constexpr std::int64_t kScoresAtOnce = 1000;
  AnswerScores answers(scores);
  store::PageRequest request{.after = "", .limit = kScoresAtOnce, .oldest_first = true};
  for (;;) {
    PARING_TRY(const auto page, scores.list(tenant, {}, request));
    for (const store::ScoreRow& score : page.rows) {
      answers.subjects_.insert(score.subject_kind + ' ' + score.subject_id);
    }
    if (!page.has_more || page.rows.empty()) return answers;
    request.after = page.rows.back().id;
  }
}

void AnswerScores::note(std::span<const store::TrafficRequest> rows) {
  for (const store::TrafficRequest& row : rows) traces_.add(row);
}

Result<std::vector<store::ScoreRow>> AnswerScores::of(const store::TrafficRequest& row) const {
  std::vector<store::ScoreRow> all;
  const auto add = [&](const std::string& kind, const std::string& id) -> Result<void> {
    if (!subjects_.contains(kind + ' ' + id)) return {};
    PARING_TRY(auto page, scores_->list(row.tenant, {kind, id, ""},
                                        {.after = "", .limit = kScoresOfAnswerMax}));
    std::move(page.rows.begin(), page.rows.end(), std::back_inserter(all));
    return {};
  };
  PARING_TRY_VOID(add("response", row.id));
  if (!row.span_id.empty()) PARING_TRY_VOID(add("span", row.span_id));
  // Applications of Orq and Langfuse know one id, and call it the trace's.
  PARING_TRY_VOID(add("trace", row.id));
  if (row.trace_id != row.id && traces_.is_single(row)) {
    PARING_TRY_VOID(add("trace", row.trace_id));
  }
  // A score that was given again is as new as its last time.
  std::ranges::stable_sort(all, [](const store::ScoreRow& a, const store::ScoreRow& b) {
    return a.updated_s > b.updated_s;
  });
  return all;
}

}  // namespace paring::improve
