// SPDX-License-Identifier: Apache-2.0
// SemanticIndex: questions that were answered, found by likeness. Only questions of one group are
// compared: those for which everything but the question's own words is the same. Searched exactly
// (every vector of the group). Bounded in bytes, in entries of a group and in age; when room is
// needed, the tenant that holds most gives its least recently used. Confined to one thread.
#pragma once

#include <cstddef>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "serve/cache/question_marks.h"
#include "serve/cache/shared_answer.h"

namespace paring::serve {

struct SemanticIndexOptions {
  std::size_t bytes_max = std::size_t{64} << 20;
  std::size_t group_entries_max = 4096;  // bounds the time of a search
  double seconds_max = 3600;             // since an answer was computed; uses do not prolong it
  double similarity_min = 1;             // cosine
};

struct SemanticEntry {
  std::string key;     // of the request as a whole, unique (response_key())
  std::string group;   // of all but the question
  std::string tenant;  // whose it is; part of what makes the group
  QuestionMarks marks;
  std::vector<float> vector;  // of length 1
  std::shared_ptr<SharedAnswer> answer;
};

struct SemanticHit {
  std::string key;
  std::shared_ptr<SharedAnswer> answer;
  double similarity = 0;
  double age_seconds = 0;
};

class SemanticIndex {
 public:
  explicit SemanticIndex(const SemanticIndexOptions& options, const Clock& clock = system_clock())
      : options_(options), clock_(clock) {}

  // The most similar question of the group whose marks agree; absent: none is similar enough.
  std::optional<SemanticHit> find(const std::string& group, const std::vector<float>& vector,
                                  const QuestionMarks& marks);
  // Replaces one of the same key. One that is too large by itself is not kept.
  void add(SemanticEntry entry);
  void erase(const std::string& key);

  std::size_t bytes() const noexcept { return bytes_; }
  std::size_t size() const noexcept { return by_key_.size(); }

 private:
  struct Kept {
    SemanticEntry entry;
    double computed_at = 0;
    std::size_t bytes = 0;
  };
  using Entries = std::list<Kept>;  // the most recently used first
  struct Tenant {
    Entries entries;
    std::size_t bytes = 0;
  };
  void drop(Entries::iterator entry);
  void make_room();

  SemanticIndexOptions options_;
  const Clock& clock_;
  std::map<std::string, Tenant> tenants_;
  std::unordered_map<std::string, std::vector<Entries::iterator>> groups_;  // oldest first
  std::unordered_map<std::string, Entries::iterator> by_key_;
  std::size_t bytes_ = 0;
};

// Makes a vector one of length 1. False: it has no direction (zero, or not finite).
bool normalize(std::vector<float>& vector);
// Of two vectors of length 1 with as many values.
double cosine(const std::vector<float>& a, const std::vector<float>& b);

}  // namespace paring::serve
