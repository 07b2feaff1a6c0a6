// SPDX-License-Identifier: Apache-2.0
// Scorers that look at the answer alone: its form, its length, whether it refuses.
#pragma once

#include <memory>

#include "base/result.h"
#include "improve/scorers/fields.h"

namespace paring::improve {

// pattern (RE2), must: match | not_match. 1: it does as it must.
Result<std::unique_ptr<Scorer>> make_regex_scorer(Fields& fields, const ScorerTools& tools);
// fence: strip | keep (whether ```json ... ``` around it is looked through), type: any | object |
// array, schema: a file. 1: the whole answer is such JSON.
Result<std::unique_ptr<Scorer>> make_json_scorer(Fields& fields, const ScorerTools& tools);
// unit: characters | words | tokens; min, max. 1: within, both ends included.
Result<std::unique_ptr<Scorer>> make_length_scorer(Fields& fields, const ScorerTools& tools);
// 1: it refuses (refusal.h).
Result<std::unique_ptr<Scorer>> make_refusal_scorer(Fields& fields, const ScorerTools& tools);

// JSON out of an answer: without blanks around it and, if asked for, without a fence of Markdown.
std::string_view json_in(std::string_view answer, bool strips_fence);

}  // namespace paring::improve
