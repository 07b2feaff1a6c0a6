// SPDX-License-Identifier: Apache-2.0
// What the scores of an answer say about it, taken together. Stateless but for its classes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/result.h"
#include "store/scores.h"
#include "store/traffic.h"

namespace paring::improve {

// enumerator, as it is written
#define PARING_COMPARISONS(X) \
  X(kAtLeast, ">=")           \
  X(kAtMost, "<=")            \
  X(kAbove, ">")              \
  X(kBelow, "<")              \
  X(kEqual, "=")

enum class Comparison : std::uint8_t {
#define PARING_X(name, text) name,
  PARING_COMPARISONS(PARING_X)
#undef PARING_X
};

// "helpful>=0.8": of the newest number of that name.
struct Condition {
  std::string name;
  Comparison comparison = Comparison::kAtLeast;
  double bound = 0;
};
// InvalidArgument: not such a text.
Result<Condition> parse_condition(const std::string& text);
std::string condition_text(const Condition& condition);

// Who speaks for people: what these sources say is feedback, what judges and rules say is not.
inline constexpr std::array<std::string_view, 3> kHumanSources = {"user", "annotator", "api"};
bool is_human(const store::ScoreRow& score) noexcept;
// true, a number above 0.5 up to 1, or a word such as "good".
bool is_good(const store::ScoreRow& score);

struct Labels {
  std::size_t good = 0;  // of people
  std::size_t bad = 0;
  std::optional<std::string> correction;               // the newest of people's
  std::vector<std::string> better_than;                // ids of responses that lost against it
  std::map<std::string, double, std::less<>> numbers;  // the newest of each name, of any source
  bool is_empty() const { return good + bad == 0 && !correction && better_than.empty(); }
  bool is_mixed() const { return good > 0 && bad > 0; }
};
// What numbers mean that are not on a scale from 0 to 1.
struct Scales {
  std::vector<Condition> good{};
  std::vector<Condition> bad{};
  // Names whose numbers say nothing unless a condition does (store::Scores::long_scales()).
  std::vector<std::string> unknown{};
};
// Of scores of one answer, newest first. Conditions decide before what is_good() and is_bad() think
// of the same score.
Labels labels_of(std::span<const store::ScoreRow> scores, const Scales& scales);
bool meets(const Labels& labels, const Condition& condition);

// Of one answer; older ones are not looked at.
inline constexpr std::int64_t kScoresOfAnswerMax = 200;

// Traces that hold one request: what is said about such a trace is said about that request.
class SingleTraces {
 public:
  void add(const store::TrafficRequest& row);
  bool is_single(const store::TrafficRequest& row) const;

 private:
  std::unordered_map<std::string, bool> single_;  // by trace
};

// The scores of answers of one tenant. Told of all requests first, it knows which traces are
// single.
class AnswerScores {
 public:
  // Notes which subjects have scores, so that most answers cost no look-up. `scores` must outlive
  // the result; scores that come later of subjects without any are not seen.
  static Result<AnswerScores> open(const store::Scores& scores, const std::string& tenant);
  void note(std::span<const store::TrafficRequest> rows);
  // Of the response, its span, and its trace where it is the only one in it; newest first. The id
  // of a response counts as one of a trace too.
  Result<std::vector<store::ScoreRow>> of(const store::TrafficRequest& row) const;

 private:
  explicit AnswerScores(const store::Scores& scores) : scores_(&scores) {}
  const store::Scores* scores_;
  std::unordered_set<std::string> subjects_;  // "kind id"
  SingleTraces traces_;
};

}  // namespace paring::improve
