// SPDX-License-Identifier: Apache-2.0
// Which part of a dataset an example belongs to: by a hash, so that more data later moves none that
// is there, and so that what belongs together stays together.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"

namespace paring::improve {

struct Share {
  std::string name;
  double share = 0;
};
inline constexpr std::size_t kPartsMax = 8;
// "train=0.9,test=0.1". InvalidArgument: names that are no names of files or occur twice, shares
// that do not add up to 1.
Result<std::vector<Share>> parse_split(const std::string& text);

// A number in [0, 1) as a function of the text.
double place_of(std::string_view key);
// REQUIRES: shares that add up to 1.
std::size_t part_at(const std::vector<Share>& split, double place);

// Sets of examples that must be in one part. Not thread-safe.
class Groups {
 public:
  // Examples are 0, 1, ...
  std::size_t add();
  void unite(std::size_t a, std::size_t b);
  // With all that were given the same key. REQUIRES: an added example.
  void unite_by(const std::string& key, std::size_t example);
  // One and the same number for all of a set.
  std::size_t set_of(std::size_t example);

 private:
  std::vector<std::size_t> parents_;
  std::unordered_map<std::string, std::size_t> by_key_;
};

}  // namespace paring::improve
