// SPDX-License-Identifier: Apache-2.0
// StopFilter: ends a text that comes in pieces at the first stop string in it, and never shows a
// part of one. Belongs to one sequence.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace paring::engine {

class StopFilter {
 public:
  // Empty strings stop nothing.
  explicit StopFilter(std::vector<std::string> stops) : stops_(std::move(stops)) {}

  // Appends `piece`; returns what may be shown now. Once stopped, nothing more comes.
  std::string push(std::string_view piece);
  // What was held back because a stop string might have begun there.
  std::string finish();
  bool is_stopped() const noexcept { return stopped_by_ != nullptr; }
  // REQUIRES: is_stopped().
  const std::string& stopped_by() const noexcept { return *stopped_by_; }

 private:
  std::vector<std::string> stops_;
  std::string pending_;
  const std::string* stopped_by_ = nullptr;
};

}  // namespace paring::engine
