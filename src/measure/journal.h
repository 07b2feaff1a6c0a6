// SPDX-License-Identifier: Apache-2.0
// Journal: results of a long evaluation, kept as they come, so that a run that was killed goes on
// where it stopped. A file of JSON lines; each belongs to a "run" (a hash of everything that
// decides the result) and an item. Each line is one write() that appends: a kill leaves at most one
// cut line, which the next open() removes. Locked against a second process. Not thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"

namespace paring::measure {

inline constexpr std::uint64_t kJournalBytesMax = std::uint64_t{1} << 30;

class Journal {
 public:
  // Opens or creates `path`. InvalidArgument when it exists and is no journal, or is larger than
  // kJournalBytesMax; Unavailable when another process uses it; Io otherwise.
  static Result<Journal> open(const std::string& path);
  // A journal that keeps nothing.
  Journal() = default;
  ~Journal();
  Journal(Journal&& other) noexcept;
  Journal& operator=(Journal&& other) noexcept;
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  // JSON text of a result stored before, null when there is none. Valid as long as the journal.
  const std::string* find(const std::string& run, std::uint64_t item) const;
  // `result`: JSON text on one line. REQUIRES: no result of this item yet.
  Result<void> append(const std::string& run, std::uint64_t item, std::string_view result);

 private:
  Result<void> load(const std::string& path);
  int descriptor_ = -1;
  std::string path_;
  std::map<std::pair<std::string, std::uint64_t>, std::string> results_;
};

}  // namespace paring::measure
