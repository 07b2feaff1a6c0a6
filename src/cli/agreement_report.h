// SPDX-License-Identifier: Apache-2.0
// How far a judge agrees with people, as a report. Pure functions.
#pragma once

#include <string>

#include "cli/output.h"
#include "improve/agreement.h"

namespace paring::cli {

Json agreement_json(const improve::RatingPairs& pairs, const improve::Agreement& agreement);
std::string agreement_text(const std::string& judge, const improve::RatingPairs& pairs,
                           const improve::Agreement& agreement);

}  // namespace paring::cli
