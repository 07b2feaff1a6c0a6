// SPDX-License-Identifier: Apache-2.0
// Whether an answer stands in the context that it was given: the share of its sentences that do. A
// sentence does when
//   - each number in it stands somewhere in the context, and
//   - of its other content words (no function words, endings aside, without those of the question)
//     at least kSupportedShare stand within kWindowSentences neighbouring sentences of the context.
// Sentences without numbers and content words of their own ("Yes.", "It was.") are not counted. It
// compares words: what is negated, or said of somebody else with the same words, it does not see.
// Measured in docs/howto/score-answers.md. Stateless.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "improve/scorers/fields.h"

namespace paring::improve {

inline constexpr double kSupportedShare = 0.6;
inline constexpr std::size_t kWindowSentences = 2;

struct Grounding {
  std::size_t sentences = 0;  // that count
  std::size_t supported = 0;
  std::string unsupported;  // the first that is not
};
Grounding grounding_of(std::string_view answer, std::string_view question,
                       std::span<const std::string> context);

// No fields. The context is every long block of text in the prompt (advise::case_of); an answer
// without any is not scored.
Result<std::unique_ptr<Scorer>> make_groundedness_scorer(Fields& fields, const ScorerTools& tools);

}  // namespace paring::improve
