// SPDX-License-Identifier: Apache-2.0
// The fields of one scorer, taken one by one, so that what nobody took is known to be wrong. One
// thread.
#pragma once

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
  // A path, of files beside the one that names it.
  std::string path(const std::string& file) const;
  // InvalidArgument: a field that was not asked for.
  Result<void> end() const;
  Error wrong(const std::string& name, const std::string& why, std::string hint = {}) const;

 private:
  const ScorerSpec& spec_;
  std::set<std::string> asked_;
};

}  // namespace paring::improve
