// SPDX-License-Identifier: Apache-2.0
// The files of a folder of traffic: which days there are, which are open, what becomes of one that
// cannot be used. Thread-safe.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "store/detail/traffic_day.h"

namespace paring::store::detail {

// "2026-11-23" for days since 1970; the other way round. REQUIRES: 0 to kTrafficDayMax.
inline constexpr std::int64_t kTrafficDayMax = 2'932'896;  // 9999-12-31
std::string traffic_day_name(std::int64_t day);
std::optional<std::int64_t> traffic_day_of(std::string_view name);

class TrafficDays {
 public:
  TrafficDays(std::string folder, std::int64_t busy_ms)
      : folder_(std::move(folder)), busy_ms_(busy_ms) {}

  // Runs `work(TrafficDay&)` on a day, which is made when it does not exist. A damaged file is
  // moved aside; then, and when it is damaged only once work meets it, all is tried a second time.
  template <typename Work>
  std::invoke_result_t<Work, TrafficDay&> write(std::int64_t day, Work&& work) {
    for (bool is_second = false;; is_second = true) {
      auto result = attempt(day, work);
      if (result || !is_damaged(day, result.error()) || is_second) return result;
    }
  }
  // The same for reading; a day that had to be left out is true, as is one that was read.
  template <typename Work>
  Result<void> read(std::int64_t day, Work&& work) {
    const Result<void> result = attempt(day, work);
    if (result || is_damaged(day, result.error()) || is_newer(day, result.error())) return {};
    return result.error();
  }

  // Days that have a file, ascending.
  Result<std::vector<std::int64_t>> list() const;
  // Removes the files of days before `day`; returns of how many.
  Result<std::int64_t> remove_before(std::int64_t day);

  TrafficHealth health() const;
  const std::string& folder() const noexcept { return folder_; }

 private:
  struct Open {
    std::shared_ptr<TrafficDay> day;
    std::uint64_t used = 0;  // larger is later
  };
  template <typename Work>
  std::invoke_result_t<Work, TrafficDay&> attempt(std::int64_t day, Work& work) {
    PARING_TRY(const std::shared_ptr<TrafficDay> file, open(day));
    return work(*file);
  }
  Result<std::shared_ptr<TrafficDay>> open(std::int64_t day);
  std::string path(std::int64_t day) const;
  // Moves the file aside when the error says that it is damaged.
  bool is_damaged(std::int64_t day, const Error& error);
  bool is_newer(std::int64_t day, const Error& error);

  const std::string folder_;
  const std::int64_t busy_ms_;
  mutable std::mutex mutex_;  // of all below
  std::map<std::int64_t, Open> open_;
  std::uint64_t uses_ = 0;
  std::int64_t damaged_files_ = 0;
  std::set<std::int64_t> newer_;
};

}  // namespace paring::store::detail
