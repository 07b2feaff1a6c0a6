// SPDX-License-Identifier: Apache-2.0
// The fields of one scorer, taken one by one, so that what nobody took is known to be wrong. One
// thread.
#pragma once

#include <cstddef>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "improve/scorers/scorer.h"

namespace paring::improve {

class Fields {
 public:
  explicit Fields(const ScorerSpec& spec) : spec_(spec) {}

  std::optional<std::string> text(const std::string& name);
  // InvalidArgument: absent.
  Result<std::string> needed(const std::string& name);
  // InvalidArgument: there, and not a number in [least, most].
  Result<std::optional<double>> number(const std::string& name, double least, double most);
  // One of `words`; absent: the first. InvalidArgument: another.
  Result<std::string> word(const std::string& name, const std::vector<std::string>& words);
  // The text of a file, which lies beside the one that names it. InvalidArgument: it cannot be
  // read.
  Result<std::string> file(const std::string& name, const std::string& file, std::size_t bytes_max);
  // The hashes of all that file() gave.
  const std::string& files_hash() const noexcept { return files_hash_; }
  // InvalidArgument: a field that was not asked for.
  Result<void> end() const;
  Error wrong(const std::string& name, const std::string& why, std::string hint = {}) const;

 private:
  const ScorerSpec& spec_;
  std::set<std::string> asked_;
  std::string files_hash_;
};

}  // namespace paring::improve
