// SPDX-License-Identifier: Apache-2.0
// What each choice of a search was worth: measured end to end on search text, alone (added to the
// plainest recipe) and last (taken away from the full one), at equal bytes.
#pragma once

#include <span>
#include <vector>

#include "base/progress.h"
#include "base/result.h"
#include "shrink/candidates.h"
#include "shrink/optimize.h"
#include "shrink/plans.h"

namespace paring::shrink {

// The plainest recipe is one type for all matrices within `bounds` (without a bound on bytes:
// within the winner's), rounding to nearest, no importance.
Result<Ablation> ablate(Candidates& candidates, const std::vector<MatrixPlan>& plans,
                        std::span<const DType> types, const Recipe& winner, TypeBounds bounds,
                        ProgressSink& progress);

}  // namespace paring::shrink
