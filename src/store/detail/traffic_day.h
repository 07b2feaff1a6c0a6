// SPDX-License-Identifier: Apache-2.0
// The file of one day of traffic: its rows, its groups, its sums by minute. Thread-safe.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "store/detail/connections.h"
#include "store/traffic.h"

namespace paring::store::detail {

// What requests are told apart by, in the database and in questions.
struct TrafficGroup {
  std::int64_t id = 0;
  bool is_total = false;
  std::string tenant;
  std::string model;
  std::string variant;
  std::string key_id;
  std::string route;
  int status_class = 0;
  std::string cache;
  std::string currency;
};

// The place of a row in the order of pages.
struct TrafficPlace {
  double started_s = 0;
  std::int64_t seq = 0;
};

class TrafficDay {
 public:
  // Makes the file when there is none. Corrupt: damaged or foreign. Unsupported: newer.
  static Result<std::shared_ptr<TrafficDay>> open(const std::string& path, std::int64_t busy_ms);

  // How many were new. All or none.
  Result<std::int64_t> append(std::span<const TrafficRequest* const> rows,
                              const TrafficDb::Append& options);
  // Appends to `found`.
  Result<void> find(std::string_view id, std::size_t limit, std::vector<TrafficRequest>& found);
  // Up to `limit` rows below `below`, newest first.
  struct PlacedRow {
    TrafficPlace place;
    TrafficRequest request;
  };
  Result<std::vector<PlacedRow>> page(const TrafficFilter& filter, const TrafficPlace& below,
                                      std::int64_t limit);
  // Calls `sink` with sums of requests that match, and the second in which they began or a minute
  // began in which all of them did.
  enum class Detail : std::uint8_t {
    kMinutes,  // where they answer it; `group` may be one that stands for all
    kGroups,   // the same, each group apart
    kRows,
  };
  using Sink =
      std::function<void(std::int64_t second, const TrafficGroup& group, const TrafficSums& sums)>;
  Result<void> sum(const TrafficFilter& filter, Detail detail, const Sink& sink);
  Result<std::int64_t> content_remove_before(double time_s);

 private:
  explicit TrafficDay(std::unique_ptr<Connections> connections);
  Result<std::int64_t> group_id(Connection& connection, const TrafficGroup& group);
  // The group of a request; its model and variant are one for all where a day has too many groups.
  Result<std::int64_t> group_of(Connection& connection, const TrafficRequest& request);
  Result<bool> insert(Connection& connection, const TrafficRequest& request, std::int64_t group,
                      TrafficParts parts);
  Result<std::int64_t> append_within(Connection& connection,
                                     std::span<const TrafficRequest* const> rows,
                                     TrafficParts parts);

  std::unique_ptr<Connections> connections_;
  // Of the writing connection; emptied when a transaction is taken back.
  std::map<std::string, std::int64_t> group_ids_;
};

// Sums by minute (traffic_minutes.cc). Stateless.
Result<void> add_to_minute(Connection& connection, std::int64_t group, std::int64_t minute,
                           TrafficSums& sums);
// The minutes from `first` up to, not with, `last`.
Result<void> read_minutes(Connection& connection, const TrafficGroup& group, std::int64_t first,
                          std::int64_t last, const TrafficDay::Sink& sink);

// Whether the filter asks for more than a range of time and a duration.
bool is_by_group(const TrafficFilter& filter);
bool matches(const TrafficFilter& filter, const TrafficGroup& group);

}  // namespace paring::store::detail
