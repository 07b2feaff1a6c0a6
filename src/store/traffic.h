// SPDX-License-Identifier: Apache-2.0
// What was served: DATA/traffic/PROJECT/2026-11-23.db, one SQLite file for each day of UTC, so that
// retention is deleting files. Besides its rows a day has sums by minute, with sketches of
// percentiles, which answer questions about a million requests without reading them.
//
// Files of days have mode 0600 and are opened when they are needed. One that is damaged is moved
// aside (2026-11-23.db.damaged-1) and counted, one that a newer version wrote is left alone; the
// other days go on. Thread-safe; appends to a day take turns. Not across fork().
//
//   PARING_TRY(store::TrafficDb traffic, store::TrafficDb::open({.data = "/var/lib/paring"}));
//   const store::TrafficAppended done = traffic.append(rows, {});
//   PARING_TRY(store::TrafficPage page, traffic.page({.model = "m"}, "", 50));
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/traffic_rows.h"

namespace paring::store {

namespace detail {
class TrafficDays;
}

// When rows are safe from what; a killed process loses nothing that was appended in either.
enum class TrafficDurability : std::uint8_t {
  kProcess,  // a power failure may take back about the last second
  kPower,    // on the disk when append() returns
};
enum class TrafficParts : std::uint8_t { kAll, kWithoutContent };

struct TrafficAppended {
  std::int64_t written = 0;
  std::int64_t known = 0;  // were there already
  // Rows of a day that could not be written, as places in the span; none of that day was.
  struct Failure {
    std::vector<std::size_t> rows;
    Error error;
  };
  std::vector<Failure> failures;
};

// Files that reading and writing had to leave out since opening.
struct TrafficHealth {
  std::int64_t damaged_files = 0;        // moved aside
  std::vector<std::string> newer_files;  // "2026-11-23.db", ascending
};

class TrafficDb {
 public:
  struct Options {
    std::string data;                 // the server's folder
    std::string project = "default";  // letters, digits, '_', '-', '.', not first; at most 64
    std::int64_t busy_ms = 5000;      // how long to wait for another process's lock
  };
  // Makes the folder, with mode 0700. InvalidArgument: no such name is allowed.
  static Result<TrafficDb> open(const Options& options);
  TrafficDb(TrafficDb&&) noexcept;
  TrafficDb& operator=(TrafficDb&&) noexcept;
  ~TrafficDb();

  struct Append {
    TrafficDurability durability = TrafficDurability::kProcess;
    TrafficParts parts = TrafficParts::kAll;
  };
  // One transaction for each day. A row that is there, by (id, started_s, span_id), is left as it
  // is: appending again what failed is safe. Numbers that are not finite become 0 or nothing; a
  // time outside of the years 1970 to 9999 is InvalidArgument for that row.
  TrafficAppended append(std::span<const TrafficRequest> rows, const Append& options) const;

  // The rows of that id in the order of their start, with their content; at most 100.
  Result<std::vector<TrafficRequest>> find(std::string_view id) const;
  // Newest first. `cursor`: "" or TrafficPage::next. InvalidArgument: not such a cursor, or a limit
  // that is not 1 to 1000.
  Result<TrafficPage> page(const TrafficFilter& filter, std::string_view cursor, std::int64_t limit,
                           TrafficParts parts = TrafficParts::kWithoutContent) const;
  Result<TrafficSums> summary(const TrafficFilter& filter) const;
  // The same apart for each value of `key` that occurs.
  Result<std::map<std::string, TrafficSums>> summary_by(const TrafficFilter& filter,
                                                        TrafficKey key) const;
  // Requests that named a user, by user, at most `limit` of them. InvalidArgument: a limit that is
  // not 1 to 1000, or a filter by min_total_seconds, which these sums do not know.
  Result<TrafficUsers> users(const TrafficFilter& filter, std::int64_t limit) const;
  // Puts what is known of a model's engine in the place of what was known of that hour. Invalid-
  // Argument: an hour outside of the years 1970 to 9999.
  Result<void> set_engine(const TrafficEngine& engine) const;
  // Those of hours that the filter's time touches, of its model and variant; ascending.
  Result<std::vector<TrafficEngine>> engines(const TrafficFilter& filter) const;
  // Buckets that hold a request, ascending. Fast when `bucket_s` is a multiple of 60: then rows are
  // read only for min_total_seconds and for parts of a minute at the ends. InvalidArgument: not
  // positive. Exhausted: more than 10,000 buckets.
  Result<std::vector<TrafficBucket>> series(const TrafficFilter& filter,
                                            std::int64_t bucket_s) const;

  // Removes the files of days that had ended at `time_s`, damaged ones too. Returns how many.
  Result<std::int64_t> remove_before(double time_s) const;
  // Removes prompts and answers of requests that began before `time_s`, so that the files do not
  // hold their text any more. Returns how many.
  Result<std::int64_t> content_remove_before(double time_s) const;

  TrafficHealth health() const;
  const std::string& folder() const noexcept;

 private:
  explicit TrafficDb(std::unique_ptr<detail::TrafficDays> days);
  std::unique_ptr<detail::TrafficDays> days_;
};

}  // namespace paring::store
