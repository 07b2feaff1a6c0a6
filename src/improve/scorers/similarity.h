// SPDX-License-Identifier: Apache-2.0
// How near an answer comes to a reference: shared words, the longest common run of them with gaps,
// or the angle between embeddings. Stateless but for the scorer.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "improve/scorers/fields.h"

namespace paring::improve {

// ROUGE-L's F1 (Lin 2004): words are runs of ASCII letters and digits in one case, and of all bytes
// above ASCII; the longest common subsequence by each text's words. 0 when one has none.
double rouge_l(std::string_view answer, std::string_view reference);
// Longer texts are not compared by rouge_l: its time is the product of both.
inline constexpr std::size_t kRougeWordsMax = 8192;

inline constexpr std::size_t kReferencesBytesMax = std::size_t{64} << 20;
// References by question, in normal_form(). JSON lines {"question": ..., "reference": ...}.
// InvalidArgument names the line.
Result<std::map<std::string, std::string>> parse_references(std::string_view text);

// measure: f1 (of words, as advise::word_f1), rouge_l or cosine; model: the encoder, for cosine;
// references: a file. Without one, or for questions that it does not have, the reference is
// people's correction; an answer without any is not scored.
Result<std::unique_ptr<Scorer>> make_similarity_scorer(Fields& fields, const ScorerTools& tools);

}  // namespace paring::improve
