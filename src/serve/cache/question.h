// SPDX-License-Identifier: Apache-2.0
// Which requests ask one question and nothing else, so that the answer to another question that
// means the same would do. Pure.
#pragma once

#include <optional>

#include "serve/answering.h"
#include "serve/generate_request.h"

namespace paring::serve {

// Absent for whatever is more than one question of a user behind instructions of the system:
// earlier turns (the question then hangs on them), tools, several answers, log-probabilities,
// images; and where the client does not want it.
std::optional<PlanQuestion> question_of(const GenerateRequest& request);

}  // namespace paring::serve
