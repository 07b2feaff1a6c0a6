// SPDX-License-Identifier: Apache-2.0
// How far a judge agrees with people, over answers that both have rated: share of equal ratings,
// Cohen's kappa (1960; what is left of the agreement when chance is taken away) with its interval,
// and the table of who said what. Stateless.
//
//   PARING_TRY(const auto pairs, improve::rating_pairs(traffic, scores, filter, judge, human));
//   PARING_TRY(const auto agreement, improve::agreement_of(pairs.pairs));
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "improve/labels.h"
#include "store/scores.h"
#include "store/traffic.h"

namespace paring::improve {

struct RatingPair {
  double human = 0;
  double judge = 0;
};

// Fewer pairs say too little: kappa's interval is wider than most of its range.
inline constexpr std::size_t kAgreementPairsMin = 30;
// Different ratings; more are no categories.
inline constexpr std::size_t kRatingsMax = 20;
inline constexpr std::size_t kAgreementRounds = 2000;  // of the bootstrap

struct Agreement {
  std::size_t count = 0;
  std::vector<double> ratings;                  // all that occur, ascending
  std::vector<std::vector<std::size_t>> table;  // [human][judge]
  double equal = 0;                             // share of pairs with equal ratings
  std::optional<double> kappa;                  // nothing: chance explains everything
  std::optional<double> low;                    // 95 %, by the bootstrap over pairs
  std::optional<double> high;
  // The same with squared distances of the ratings as weights; of more than two ratings.
  std::optional<double> weighted_kappa;
  std::optional<double> weighted_low;
  std::optional<double> weighted_high;
  // Of two ratings: how many of people's good ones the judge calls good, and of bad ones bad.
  std::optional<double> true_good;
  std::optional<double> true_bad;
  bool is_enough() const noexcept { return count >= kAgreementPairsMin; }
};
// InvalidArgument: more than kRatingsMax different ratings.
Result<Agreement> agreement_of(std::span<const RatingPair> pairs);

// Whose rating: the number of a name as it is, or whether a condition holds. People's without a
// name: good (1) or bad (0) as datasets take it.
struct Rating {
  std::string name;
  std::optional<Condition> condition;
};
// "quality" or "quality>=4".
Result<Rating> parse_rating(const std::string& text);

struct RatingPairs {
  std::vector<RatingPair> pairs;
  std::int64_t judged = 0;       // by the judge: pairs and more
  std::int64_t judged_good = 0;  // of those, with a condition, that meet it
  std::int64_t mixed = 0;        // with feedback that contradicts itself, left out
};
// The share of good answers among all that were judged, the judge's mistakes taken out (Rogan and
// Gladen 1978). Nothing where it is no better than a coin, or nobody knows.
std::optional<double> corrected_share(const RatingPairs& pairs, const Agreement& agreement);
// One of each answer, with the newest ratings. InvalidArgument: a rating as it is against one that
// is good or bad. Errors of the databases.
Result<RatingPairs> rating_pairs(const store::TrafficDb& traffic, const store::Scores& scores,
                                 const store::TrafficFilter& filter, const Rating& judge,
                                 const std::optional<Rating>& human);

// The same out of the scores alone: of subjects that `judge` rated, those with the newest `most`
// ratings, and what people said of the very same subject (of a trace or a span not what was said of
// its response). Takes about 30 microseconds a rating.
Result<RatingPairs> rating_pairs_of_subjects(const store::Scores& scores, const std::string& tenant,
                                             const Rating& judge,
                                             const std::optional<Rating>& human, std::size_t most);

}  // namespace paring::improve
