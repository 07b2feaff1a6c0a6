// SPDX-License-Identifier: Apache-2.0
// Scorers over stored answers: what they say is kept as scores of those answers. Run again, only
// what is new is scored; a run that was ended goes on where it was. One thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "improve/scorers/scorer.h"
#include "store/scores.h"
#include "store/traffic.h"

namespace paring::improve {

// Answers that are scored and kept together; so many are lost at most when a run is killed.
inline constexpr std::int64_t kScoredAtOnce = 16;

// A scorer that fails so often in a row is not asked any more by this run.
inline constexpr std::int64_t kFailuresInARowMax = 32;

struct ScoreRunOptions {
  store::TrafficFilter filter;  // REQUIRES: a tenant
  std::size_t limit = 0;        // the newest so many answers with their text; 0: all
};

// Of the answers that the filter chose; a mean over all that have the score, from this run or an
// earlier one, with its 95 % interval: Wilson's for yes and no, by Student's t for numbers.
struct ScorerTally {
  std::string name;
  std::string kind;
  std::int64_t scored = 0;     // by this run
  std::int64_t there = 0;      // were there already, of the same scorer
  std::int64_t not_about = 0;  // it has nothing to say about them
  std::int64_t failed = 0;     // tried again by the next run
  std::int64_t not_asked = 0;  // because too many failed in a row
  std::string first_error;
  bool is_boolean = false;
  double mean = 0;
  double low = 0;
  double high = 0;
  std::int64_t count() const { return scored + there; }
};

struct ScoreReport {
  std::vector<ScorerTally> tallies;              // in the order of the scorers
  std::int64_t requests = 0;                     // that the filter chose
  std::int64_t answers = 0;                      // of those, that could be scored
  std::map<std::string, std::int64_t> left_out;  // the others, by reason
};

// `on_requests` is told how many were looked at; `now_s`: seconds since 1970, for new scores.
// Errors of the databases; Exhausted: the tenant has as many scores as it may.
Result<ScoreReport> run_scorers(const store::TrafficDb& traffic, const store::Scores& scores,
                                std::span<const std::unique_ptr<Scorer>> scorers,
                                const ScoreRunOptions& options, std::int64_t now_s,
                                const std::function<void(std::size_t)>& on_requests = {});

// The id under which a scorer's opinion of an answer is kept.
std::string score_id_of(const store::TrafficRequest& row, const std::string& scorer);

struct Interval {
  double low = 0;
  double high = 0;
};
// Wilson's score interval at 95 % of `yes` in `count`. REQUIRES: count > 0.
Interval wilson_interval(double yes, double count);

}  // namespace paring::improve
