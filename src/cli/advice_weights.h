// SPDX-License-Identifier: Apache-2.0
// What paring advise measures itself: how long the steps of a served model would take with other
// weights.
#pragma once

#include <string>
#include <vector>

#include "advise/advisor.h"
#include "cli/context.h"

namespace paring::cli {

struct WeightChoices {
  std::vector<std::string> types;       // that it could be quantized to
  std::vector<std::string> candidates;  // MODELs that could be served instead
};

// Both models are in memory meanwhile: what does not fit into `free_bytes` (0: not known), or
// cannot be timed, is left out, and a note says so. Errors: a type or MODEL that does not exist.
Result<std::vector<advise::WeightCandidate>> weight_candidates(Context& context,
                                                               const advise::TrafficSample& sample,
                                                               double free_bytes,
                                                               const WeightChoices& choices);

}  // namespace paring::cli
