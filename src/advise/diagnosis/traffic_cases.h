// SPDX-License-Identifier: Apache-2.0
// Cases out of what was served and how it was rated. Reading only.
#pragma once

#include <string>
#include <vector>

#include "advise/diagnosis/case.h"
#include "base/result.h"
#include "store/scores.h"
#include "store/traffic.h"

namespace paring::advise {

// Numbers below this are bad ratings: scales of 0 to 1 are the usual ones.
inline constexpr double kBadBelow = 0.5;

// Whether a score says that an answer was bad: false, a number below kBadBelow, a word such as
// "bad", or a corrected answer.
bool is_bad(const store::ScoreRow& score);

// The request `id` with its prompt and answer, and a correction as its reference where one was
// given. NotFound: no such request, or its text was not kept.
Result<Case> case_of_request(const store::TrafficDb& traffic, const store::Scores& scores,
                             const std::string& id);

struct BadlyRated {
  std::vector<Case> cases;       // newest ratings first
  std::size_t without_text = 0;  // badly rated, but their text was not kept, or not of this model
};
// Of a tenant, at most `limit`. `model`: only answers of the model with this name; empty: any.
Result<BadlyRated> badly_rated_cases(const store::TrafficDb& traffic, const store::Scores& scores,
                                     const std::string& tenant, const std::string& model,
                                     std::size_t limit);

}  // namespace paring::advise
