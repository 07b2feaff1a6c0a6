// SPDX-License-Identifier: Apache-2.0
// Scorer: judges a stored answer by itself. Made of a ScorerSpec, which a file of scorers holds
// (cli/scorers_file.h). A scorer belongs to one thread.
//
//   PARING_TRY(auto scorer, improve::make_scorer({.name = "short", .kind = "length", ...}));
//   PARING_TRY(const auto mark, scorer->score({.exchange = exchange}));
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "improve/exchange.h"

namespace paring::improve {

// What a scorer is told of an answer.
struct Judged {
  const Exchange& exchange;
  std::int64_t answer_tokens = 0;             // without reasoning, as the server counted them
  std::optional<std::string> reference = {};  // what people said would have been right
};

struct Mark {
  double value = 0;
  bool is_boolean = false;   // the value is 0 or 1
  std::string comment = {};  // why; may be empty
};

class Scorer {
 public:
  virtual ~Scorer() = default;
  const std::string& name() const noexcept { return name_; }
  const std::string& kind() const noexcept { return kind_; }
  // The same for what marks alike: kind, fields and the version of the rule.
  const std::string& fingerprint() const noexcept { return fingerprint_; }
  // As the table of scores names it: "rule", or "judge" for a model's opinion.
  virtual const char* source() const noexcept { return "rule"; }
  virtual bool needs_reference() const noexcept { return false; }
  // nullopt: it has nothing to say about this answer. An error is of this answer only, and may not
  // be one the next time.
  virtual Result<std::optional<Mark>> score(const Judged& judged) = 0;
  // Of many answers, in their order. Scorers that wait for others do it for several at a time.
  virtual std::vector<Result<std::optional<Mark>>> score_all(std::span<const Judged> judged);

 private:
  friend class ScorerMaker;
  std::string name_;
  std::string kind_;
  std::string fingerprint_;
};

inline constexpr std::size_t kScorerNameBytesMax = 64;
inline constexpr std::size_t kScorersMax = 100;

struct ScorerSpec {
  std::string name;                                // of the scores: a-z, 0-9, '_', '-', '.'
  std::string kind;                                // a row of scorer_kinds()
  std::map<std::string, std::string> fields = {};  // all but kind
  std::string folder = ".";                        // where files that it names lie
};

class JudgeModel;

// Vectors of texts, in their order, all of one length.
using Embed =
    std::function<Result<std::vector<std::vector<float>>>(std::span<const std::string> texts)>;

// What scorers need of their surroundings, made when one asks for it. Absent ones cannot be had.
struct ScorerTools {
  // A chat model in this process, by its path or name, whose answers have so many tokens at most.
  std::function<Result<std::shared_ptr<JudgeModel>>(const std::string& model,
                                                    std::size_t answer_tokens)>
      open_judge = nullptr;
  // An encoder, likewise.
  std::function<Result<Embed>(const std::string& model)> open_encoder = nullptr;
  // The value of an environment variable.
  std::function<std::optional<std::string>(const std::string& name)> variable = nullptr;
};

struct ScorerKind {
  const char* name;
  const char* fields;
  const char* what;
};
const std::vector<ScorerKind>& scorer_kinds();

// InvalidArgument, naming the field: an unknown kind or field, a value that is none, a missing one.
// Errors of the files that it names.
Result<std::unique_ptr<Scorer>> make_scorer(const ScorerSpec& spec, const ScorerTools& tools = {});

}  // namespace paring::improve
