// SPDX-License-Identifier: Apache-2.0
#include "improve/agreement.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <set>
#include <utility>

#include "base/random.h"
#include "base/text.h"
#include "measure/statistics.h"
#include "monitor/traffic_export.h"

namespace paring::improve {

namespace {

constexpr double kLowest = 0.025;
constexpr std::uint64_t kSeed = 20261124;

using Cells = std::vector<double>;  // [human * ratings + judge]

// One minus observed by expected disagreement; nothing where none is expected.
std::optional<double> kappa_of(const Cells& cells, const std::vector<double>& ratings,
                               bool is_weighted) {
  const std::size_t size = ratings.size();
  std::vector<double> rows(size), columns(size);
  double count = 0;
  for (std::size_t h = 0; h < size; ++h) {
    for (std::size_t j = 0; j < size; ++j) {
      rows[h] += cells[h * size + j];
      columns[j] += cells[h * size + j];
      count += cells[h * size + j];
    }
  }
  double observed = 0, expected = 0;
  for (std::size_t h = 0; h < size; ++h) {
    for (std::size_t j = 0; j < size; ++j) {
      const double distance = ratings[h] - ratings[j];
      const double weight = is_weighted ? distance * distance : (h == j ? 0.0 : 1.0);
      observed += weight * cells[h * size + j];
      expected += weight * rows[h] * columns[j] / count;
    }
  }
  if (!(expected > 0)) return std::nullopt;
  return 1 - observed / expected;
}

struct Interval {
  std::optional<double> low;
  std::optional<double> high;
};

Interval interval_of(std::vector<double> kappas) {
  // Rounds in which chance explains everything have none; too many of them leave no interval.
  if (kappas.size() < kAgreementRounds / 2) return {};
  std::ranges::sort(kappas);
  return {measure::quantile(kappas, kLowest), measure::quantile(kappas, 1 - kLowest)};
}

void add_intervals(const std::vector<std::size_t>& pair_cells, Agreement& agreement) {
  std::vector<double> plain, weighted;
  const std::size_t size = agreement.ratings.size();
  for (std::size_t round = 0; round < kAgreementRounds; ++round) {
    RandomStream random({.seed = kSeed, .sequence = round});
    Cells cells(size * size);
    for (std::size_t i = 0; i < pair_cells.size(); ++i) {
      ++cells[pair_cells[random.below(static_cast<std::uint32_t>(pair_cells.size()))]];
    }
    if (const auto kappa = kappa_of(cells, agreement.ratings, false)) plain.push_back(*kappa);
    if (size < 3) continue;
    if (const auto kappa = kappa_of(cells, agreement.ratings, true)) weighted.push_back(*kappa);
  }
  const Interval interval = interval_of(std::move(plain));
  agreement.low = interval.low;
  agreement.high = interval.high;
  if (size < 3) return;
  const Interval more = interval_of(std::move(weighted));
  agreement.weighted_low = more.low;
  agreement.weighted_high = more.high;
}

}  // namespace

Result<Agreement> agreement_of(std::span<const RatingPair> pairs) {
  Agreement agreement;
  agreement.count = pairs.size();
  std::set<double> ratings;
  for (const RatingPair& pair : pairs) {
    ratings.insert(pair.human);
    ratings.insert(pair.judge);
    if (ratings.size() > kRatingsMax) {
      return invalid_argument(fmt::format("there are more than {} different ratings", kRatingsMax),
                              "say from where on they are good, such as 'quality>=4'");
    }
  }
  agreement.ratings.assign(ratings.begin(), ratings.end());
  const std::size_t size = ratings.size();
  const auto place = [&](double rating) {
    return static_cast<std::size_t>(std::ranges::lower_bound(agreement.ratings, rating) -
                                    agreement.ratings.begin());
  };
  agreement.table.assign(size, std::vector<std::size_t>(size));
  Cells cells(size * size);
  std::vector<std::size_t> pair_cells;
  std::size_t equal = 0;
  for (const RatingPair& pair : pairs) {
    const std::size_t h = place(pair.human), j = place(pair.judge);
    ++agreement.table[h][j];
    ++cells[h * size + j];
    pair_cells.push_back(h * size + j);
    equal += h == j ? 1 : 0;
  }
  if (pairs.empty()) return agreement;
  agreement.equal = static_cast<double>(equal) / static_cast<double>(pairs.size());
  agreement.kappa = kappa_of(cells, agreement.ratings, false);
  if (size > 2) agreement.weighted_kappa = kappa_of(cells, agreement.ratings, true);
  const bool is_binary = size <= 2 && ratings.contains(1) && (size == 1 || ratings.contains(0));
  if (is_binary || (size == 1 && ratings.contains(0))) {
    const auto cell = [&](double human, double judge) {
      if (!ratings.contains(human) || !ratings.contains(judge)) return 0.0;
      return cells[place(human) * size + place(judge)];
    };
    const double good = cell(1, 1) + cell(1, 0), bad = cell(0, 0) + cell(0, 1);
    if (good > 0) agreement.true_good = cell(1, 1) / good;
    if (bad > 0) agreement.true_bad = cell(0, 0) / bad;
  }
  add_intervals(pair_cells, agreement);
  return agreement;
}

Result<Rating> parse_rating(const std::string& text) {
  if (text.empty()) return invalid_argument("a rating without a name");
  if (text.find_first_of("<>=") == std::string::npos) return Rating{text, std::nullopt};
  PARING_TRY(Condition condition, parse_condition(text));
  std::string name = condition.name;
  return Rating{std::move(name), std::move(condition)};
}

std::optional<double> corrected_share(const RatingPairs& pairs, const Agreement& agreement) {
  if (!agreement.true_good || !agreement.true_bad || pairs.judged == 0) return std::nullopt;
  const double skill = *agreement.true_good + *agreement.true_bad - 1;
  if (skill <= 0) return std::nullopt;
  const double said = static_cast<double>(pairs.judged_good) / static_cast<double>(pairs.judged);
  return std::clamp((said + *agreement.true_bad - 1) / skill, 0.0, 1.0);
}

namespace {

// Pairs out of the scores of one answer or subject after the other.
class Pairing {
 public:
  static Result<Pairing> open(const store::Scores& scores, const std::string& tenant,
                              const Rating& judge, const std::optional<Rating>& human) {
    if (human && human->condition.has_value() != judge.condition.has_value()) {
      return invalid_argument("a number cannot be compared with what is good or bad",
                              "give conditions for both, such as 'quality>=4' and 'stars>=4'");
    }
    Pairing pairing(judge, human);
    PARING_TRY(pairing.scales_.unknown, scores.long_scales(tenant));
    return pairing;
  }

  // Newest first.
  Result<void> take(std::span<const store::ScoreRow> rows) {
    const auto said = newest(rows, judge_.name, false);
    if (!said) return {};
    ++found_.judged;
    const double judged = value_of(judge_, *said);
    if (judge_.condition && judged == 1) ++found_.judged_good;
    if (human_) {
      const auto rated = newest(rows, human_->name, true);
      if (rated) found_.pairs.push_back({value_of(*human_, *rated), judged});
      return {};
    }
    if (!judge_.condition && judged != 0 && judged != 1) {
      return invalid_argument(
          fmt::format("'{}' is a number, and people said good or bad", escape_control(judge_.name)),
          fmt::format("say from where on it is good, such as '{}>=4', or name people's score",
                      judge_.name));
    }
    if (!judge_.condition && judged == 1) ++found_.judged_good;
    const Labels labels = labels_of(rows, scales_);
    const std::size_t bad = labels.bad + (labels.correction ? 1 : 0);
    if (labels.good > 0 && bad > 0) ++found_.mixed;
    if ((labels.good > 0) != (bad > 0)) {
      found_.pairs.push_back({labels.good > 0 ? 1.0 : 0.0, judged});
    }
    return {};
  }
  RatingPairs finish() { return std::move(found_); }

 private:
  Pairing(const Rating& judge, const std::optional<Rating>& human) : judge_(judge), human_(human) {}

  static double value_of(const Rating& rating, double number) {
    if (!rating.condition) return number;
    Labels labels;
    labels.numbers[rating.name] = number;
    return meets(labels, *rating.condition) ? 1.0 : 0.0;
  }
  static std::optional<double> newest(std::span<const store::ScoreRow> rows,
                                      const std::string& name, bool of_people) {
    for (const store::ScoreRow& row : rows) {
      if (row.name == name && row.number && is_human(row) == of_people) return row.number;
    }
    return std::nullopt;
  }

  Rating judge_;
  std::optional<Rating> human_;
  Scales scales_;
  RatingPairs found_;
};

}  // namespace

Result<RatingPairs> rating_pairs(const store::TrafficDb& traffic, const store::Scores& scores,
                                 const store::TrafficFilter& filter, const Rating& judge,
                                 const std::optional<Rating>& human) {
  if (!filter.tenant) return invalid_argument("ratings are of one tenant, and none is chosen");
  PARING_TRY(Pairing pairing, Pairing::open(scores, *filter.tenant, judge, human));
  PARING_TRY(AnswerScores of_answers, AnswerScores::open(scores, *filter.tenant));
  const auto note = [&](std::span<const store::TrafficRequest> rows) -> Result<void> {
    of_answers.note(rows);
    return {};
  };
  PARING_TRY_VOID(monitor::export_traffic(traffic, filter, /*with_content=*/false, note));
  const auto take_all = [&](std::span<const store::TrafficRequest> rows) -> Result<void> {
    for (const store::TrafficRequest& row : rows) {
      PARING_TRY(const auto of_row, of_answers.of(row));
      PARING_TRY_VOID(pairing.take(of_row));
    }
    return {};
  };
  PARING_TRY_VOID(monitor::export_traffic(traffic, filter, /*with_content=*/false, take_all));
  return pairing.finish();
}

Result<RatingPairs> rating_pairs_of_subjects(const store::Scores& scores, const std::string& tenant,
                                             const Rating& judge,
                                             const std::optional<Rating>& human, std::size_t most) {
  PARING_TRY(Pairing pairing, Pairing::open(scores, tenant, judge, human));
  std::set<std::pair<std::string, std::string>> subjects;
  constexpr std::int64_t kScoresAtOnce = 500;
  store::PageRequest request{.after = "", .limit = kScoresAtOnce};
  for (bool has_more = true; has_more && subjects.size() < most;) {
    PARING_TRY(const auto page, scores.list(tenant, {"", "", judge.name}, request));
    for (const store::ScoreRow& score : page.rows) {
      if (is_human(score) || subjects.size() >= most) continue;
      if (!subjects.emplace(score.subject_kind, score.subject_id).second) continue;
      PARING_TRY(auto of_subject, scores.list(tenant, {score.subject_kind, score.subject_id, ""},
                                              {.after = "", .limit = kScoresOfAnswerMax}));
      std::ranges::stable_sort(of_subject.rows, std::ranges::greater(),
                               &store::ScoreRow::updated_s);
      PARING_TRY_VOID(pairing.take(of_subject.rows));
    }
    has_more = page.has_more && !page.rows.empty();
    if (has_more) request.after = page.rows.back().id;
  }
  return pairing.finish();
}

}  // namespace paring::improve
