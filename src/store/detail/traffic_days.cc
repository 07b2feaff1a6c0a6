// SPDX-License-Identifier: Apache-2.0
#include "store/detail/traffic_days.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <filesystem>

#include "base/log.h"
#include "base/metrics.h"
#include "store/detail/database_file.h"

namespace paring::store::detail {

namespace {

// Each open day has descriptors and a cache of pages.
constexpr std::size_t kOpenDaysMax = 8;
constexpr std::string_view kSuffix = ".db";
constexpr std::size_t kNameBytes = 10;  // of 2026-11-23
// So many damaged files of one day are kept; then the last one is replaced.
constexpr int kDamagedMax = 100;

// Names in the folder, without an order.
Result<std::vector<std::string>> names_in(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  std::filesystem::directory_iterator entry(folder, error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    names.push_back(entry->path().filename().string());
  }
  if (error) return file_error("list the folder", folder, error.value());
  return names;
}

}  // namespace

std::string traffic_day_name(std::int64_t day) {
  using std::chrono::days;
  const std::chrono::year_month_day date{std::chrono::sys_days(days(static_cast<int>(day)))};
  return fmt::format("{:04}-{:02}-{:02}", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()));
}

std::optional<std::int64_t> traffic_day_of(std::string_view name) {
  if (name.size() != kNameBytes) return std::nullopt;
  int year = 0;
  unsigned month = 0;
  unsigned day = 0;
  std::from_chars(name.data(), name.data() + 4, year);
  std::from_chars(name.data() + 5, name.data() + 7, month);
  std::from_chars(name.data() + 8, name.data() + 10, day);
  const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(month),
                                         std::chrono::day(day)};
  if (!date.ok()) return std::nullopt;
  const std::int64_t days = std::chrono::sys_days(date).time_since_epoch().count();
  if (days < 0 || days > kTrafficDayMax || traffic_day_name(days) != name) return std::nullopt;
  return days;
}

std::string TrafficDays::path(std::int64_t day) const {
  return folder_ + "/" + traffic_day_name(day) + std::string(kSuffix);
}

Result<std::shared_ptr<TrafficDay>> TrafficDays::open(std::int64_t day) {
  const std::lock_guard lock(mutex_);
  if (const auto known = open_.find(day); known != open_.end()) {
    known->second.used = ++uses_;
    return known->second.day;
  }
  PARING_TRY(std::shared_ptr<TrafficDay> file, TrafficDay::open(path(day), busy_ms_));
  if (open_.size() >= kOpenDaysMax) {
    open_.erase(
        std::ranges::min_element(open_, {}, [](const auto& each) { return each.second.used; }));
  }
  open_.emplace(day, Open{file, ++uses_});
  newer_.erase(day);
  return file;
}

bool TrafficDays::is_damaged(std::int64_t day, const Error& error) {
  if (error.code != ErrorCode::kCorrupt) return false;
  const std::lock_guard lock(mutex_);
  open_.erase(day);
  const std::string from = path(day);
  std::error_code ignored;
  int number = 1;
  std::string to = fmt::format("{}.damaged-{}", from, number);
  while (number < kDamagedMax && std::filesystem::exists(to, ignored)) {
    to = fmt::format("{}.damaged-{}", from, ++number);
  }
  std::error_code failed;
  std::filesystem::rename(from, to, failed);
  if (failed) {
    // Another thread has moved it already.
    if (failed == std::errc::no_such_file_or_directory) return true;
    log_error(fmt::format("{}; it could not be moved aside: {}", error.text(), failed.message()));
    return false;
  }
  // Its log may be all that is left of the last rows.
  std::filesystem::rename(from + "-wal", to + "-wal", ignored);
  std::filesystem::remove(from + "-shm", ignored);
  ++damaged_files_;
  metrics().traffic_damaged_files.add();
  log_error(fmt::format("{}; it is now '{}'", error.message, to));
  return true;
}

bool TrafficDays::is_newer(std::int64_t day, const Error& error) {
  if (error.code != ErrorCode::kUnsupported) return false;
  const std::lock_guard lock(mutex_);
  if (newer_.insert(day).second) log_warning(error.text());
  return true;
}

Result<std::vector<std::int64_t>> TrafficDays::list() const {
  PARING_TRY(const std::vector<std::string> names, names_in(folder_));
  std::vector<std::int64_t> days;
  for (const std::string_view name : names) {
    if (!name.ends_with(kSuffix)) continue;
    const auto day = traffic_day_of(name.substr(0, name.size() - kSuffix.size()));
    if (day) days.push_back(*day);
  }
  std::ranges::sort(days);
  return days;
}

Result<std::int64_t> TrafficDays::remove_before(std::int64_t day) {
  PARING_TRY(const std::vector<std::string> names, names_in(folder_));
  const std::lock_guard lock(mutex_);
  std::set<std::int64_t> removed;
  for (const std::string& name : names) {
    const auto of = traffic_day_of(std::string_view(name).substr(0, kNameBytes));
    if (!of || *of >= day || !std::string_view(name).substr(kNameBytes).starts_with(kSuffix)) {
      continue;
    }
    open_.erase(*of);
    newer_.erase(*of);
    const std::string full = folder_ + "/" + name;
    std::error_code error;
    std::filesystem::remove(full, error);
    if (error) return file_error("remove", full, error.value());
    removed.insert(*of);
  }
  return static_cast<std::int64_t>(removed.size());
}

TrafficHealth TrafficDays::health() const {
  const std::lock_guard lock(mutex_);
  TrafficHealth health{.damaged_files = damaged_files_, .newer_files = {}};
  for (const std::int64_t day : newer_) {
    health.newer_files.push_back(traffic_day_name(day) + std::string(kSuffix));
  }
  return health;
}

}  // namespace paring::store::detail
