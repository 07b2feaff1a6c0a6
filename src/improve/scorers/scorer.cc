// SPDX-License-Identifier: Apache-2.0
#include "improve/scorers/scorer.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/sha256.h"
#include "base/text.h"
#include "improve/scorers/fields.h"
#include "improve/scorers/groundedness.h"
#include "improve/scorers/judge_fields.h"
#include "improve/scorers/similarity.h"
#include "improve/scorers/simple.h"

namespace paring::improve {

namespace {

struct Kind {
  ScorerKind shown;
  // Changes with the rule, so that answers are marked again.
  int version;
  Result<std::unique_ptr<Scorer>> (*make)(Fields& fields, const ScorerTools& tools);
};

const std::vector<Kind>& kinds() {
  static const std::vector<Kind> all = {
      {{"regex", "pattern, must", "the answer matches a regular expression (RE2), or does not"},
       1,
       make_regex_scorer},
      {{"json", "fence, type, schema", "the answer is JSON, of a schema"}, 1, make_json_scorer},
      {{"length", "unit, min, max", "the answer's length is within bounds"}, 1, make_length_scorer},
      {{"refusal", "", "the answer refuses; 1: it does"}, 1, make_refusal_scorer},
      {{"similarity", "measure, references, model", "how near the answer is to a reference"},
       1,
       make_similarity_scorer},
      {{"groundedness", "", "the share of the answer that stands in its context"},
       1,
       make_groundedness_scorer},
      {{"judge",
        "rubric, scale, compare, model, url, key_env, format, answer_tokens, parallel, tries, "
        "seconds",
        "what a model says, with its reason"},
       1,
       make_judge},
  };
  return all;
}

bool is_name(std::string_view name) {
  return !name.empty() && name.size() <= kScorerNameBytesMax &&
         std::ranges::all_of(name, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
                  c == '.';
         });
}

}  // namespace

// Sets what every scorer has.
class ScorerMaker {
 public:
  static void name(Scorer& scorer, const ScorerSpec& spec, int version,
                   const std::string& files_hash) {
    scorer.name_ = spec.name;
    scorer.kind_ = spec.kind;
    Sha256 hash;
    hash.update(fmt::format("{} {} {}", spec.kind, version, files_hash));
    for (const auto& [field, value] : spec.fields) {
      // How it is asked, not what.
      constexpr std::string_view kOutside[] = {"key_env", "parallel", "tries", "seconds"};
      if (std::ranges::find(kOutside, field) != std::end(kOutside)) continue;
      hash.update(fmt::format("\n{}:{}={}:{}", field.size(), field, value.size(), value));
    }
    scorer.fingerprint_ = hex(hash.finish()).substr(0, 16);
  }
};

std::vector<Result<std::optional<Mark>>> Scorer::score_all(std::span<const Judged> judged) {
  std::vector<Result<std::optional<Mark>>> marks;
  marks.reserve(judged.size());
  for (const Judged& each : judged) marks.push_back(score(each));
  return marks;
}

const std::vector<ScorerKind>& scorer_kinds() {
  static const std::vector<ScorerKind> shown = [] {
    std::vector<ScorerKind> list;
    for (const Kind& kind : kinds()) list.push_back(kind.shown);
    return list;
  }();
  return shown;
}

Result<std::unique_ptr<Scorer>> make_scorer(const ScorerSpec& spec, const ScorerTools& tools) {
  if (!is_name(spec.name)) {
    return invalid_argument(
        fmt::format("'{}' is no name of a scorer", escape_control(spec.name)),
        fmt::format("it takes a-z, 0-9, '_', '-' and '.', at most {}", kScorerNameBytesMax));
  }
  const auto kind =
      std::ranges::find(kinds(), spec.kind, [](const Kind& each) { return each.shown.name; });
  if (kind == kinds().end()) {
    std::vector<std::string> names;
    for (const ScorerKind& each : scorer_kinds()) names.emplace_back(each.name);
    const std::string known = fmt::format("kinds are {}", fmt::join(names, ", "));
    if (spec.kind.empty()) {
      return invalid_argument(fmt::format("the scorer '{}' has no 'kind'", spec.name), known);
    }
    return invalid_argument(fmt::format("the scorer '{}' is of kind '{}', which is not known",
                                        spec.name, escape_control(spec.kind)),
                            known);
  }
  Fields fields(spec);
  PARING_TRY(std::unique_ptr<Scorer> scorer, kind->make(fields, tools));
  PARING_TRY_VOID(fields.end());
  ScorerMaker::name(*scorer, spec, kind->version, fields.files_hash());
  return scorer;
}

}  // namespace paring::improve
