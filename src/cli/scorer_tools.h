// SPDX-License-Identifier: Apache-2.0
// Models for scorers that ask for one, opened as the other commands open them.
#pragma once

#include "cli/context.h"
#include "improve/scorers/scorer.h"

namespace paring::cli {

// `context` must outlive the result and what it opens.
improve::ScorerTools scorer_tools(Context& context);

}  // namespace paring::cli
