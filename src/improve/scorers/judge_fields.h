// SPDX-License-Identifier: Apache-2.0
// The fields of a judge in a file of scorers. Stateless.
#pragma once

#include <memory>

#include "base/result.h"
#include "improve/scorers/fields.h"

namespace paring::improve {

// rubric, scale: "1-5", compare: none | reference, and who judges: url, model, key_env (the
// environment variable with the key), format, answer_tokens, parallel, tries, seconds; without a
// url the model is of this process.
Result<std::unique_ptr<Scorer>> make_judge(Fields& fields, const ScorerTools& tools);

}  // namespace paring::improve
