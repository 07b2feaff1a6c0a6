// SPDX-License-Identifier: Apache-2.0
// The table of scores: what users, annotators, judges and rules thought of answers. A score may
// come long after its answer and again: the same id is the same score, as it is now. Every look-up
// names the tenant. Thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/control_db.h"
#include "store/files.h"

namespace paring::store {

// What the columns may hold; the table checks the same.
inline constexpr std::array<std::string_view, 4> kScoreSubjects = {"response", "span", "trace",
                                                                   "session"};
inline constexpr std::array<std::string_view, 6> kScoreTypes = {
    "numeric", "boolean", "categorical", "text", "correction", "preference"};
inline constexpr std::array<std::string_view, 6> kScoreSources = {"user", "annotator", "judge",
                                                                  "rule", "implicit",  "api"};

inline constexpr std::int64_t kScoresOfTenantMax = 1'000'000;

struct ScoreRow {
  std::string tenant;
  std::string id;
  std::string subject_kind;  // of kScoreSubjects
  std::string subject_id;
  std::string name;
  std::string type;                 // of kScoreTypes
  std::optional<double> number;     // of numeric and boolean ones (0 or 1)
  std::optional<std::string> text;  // of the others; of a preference the id of the answer that lost
  std::string comment;
  std::string source;  // of kScoreSources
  std::string author;  // end user or annotator; may be empty
  std::string key_id;
  std::optional<std::string> metadata;  // a JSON object
  std::int64_t created_s = 0;
  std::int64_t updated_s = 0;
};

// What a list is of; empty: any.
struct ScoreFilter {
  std::string subject_kind;
  std::string subject_id;
  std::string name;
};

// Of one name and source.
struct ScoreSum {
  std::string name;
  std::string source;
  std::int64_t count = 0;
  std::optional<double> mean;  // of those that are numbers
};

class Scores {
 public:
  explicit Scores(const ControlDb& control) : control_(control) {}

  // Adds it, or puts it in the place of the one with its id, whose created_s stays. Returns the row
  // as it is now. Exhausted when the tenant has `scores_max` others.
  Result<ScoreRow> put(const ScoreRow& score, std::int64_t scores_max) const;
  // All of them, or none.
  Result<void> put_all(std::span<const ScoreRow> scores, std::int64_t scores_max) const;
  Result<std::optional<ScoreRow>> find(std::string_view tenant, std::string_view id) const;
  // Newest first, unless page.oldest_first. NotFound when page.after is no score of the tenant.
  Result<Page<ScoreRow>> list(std::string_view tenant, const ScoreFilter& filter,
                              const PageRequest& page) const;
  // Of all tenants; the `limit` most frequent, those first.
  Result<std::vector<ScoreSum>> sums(std::int64_t limit) const;
  // Names of which some number is below 0 or above 1: those are on a scale of their own.
  Result<std::vector<std::string>> long_scales(std::string_view tenant) const;
  // NotFound.
  Result<void> remove(std::string_view tenant, std::string_view id) const;

 private:
  const ControlDb& control_;
};

}  // namespace paring::store
