// SPDX-License-Identifier: Apache-2.0
// The file of one day of traffic: its rows, its groups, its sums by minute. Thread-safe.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <tuple>
#include <utility>
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
                                      std::int64_t limit, TrafficParts parts);
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
  // Adds the hours from `first` up to, not with, `last` to users by tenant and name.
  using Users = std::map<std::pair<std::string, std::string>, TrafficUser>;
  Result<void> add_users(const TrafficFilter& filter, std::int64_t first, std::int64_t last,
                         Users& users);
  // Models as they were computed in an hour (traffic_engines.cc). Puts one in the place of that of
  // its hour, model, variant and time of loading; appends those that touch the filter's time.
  Result<void> set_engine(const TrafficEngine& engine);
  Result<void> add_engines(const TrafficFilter& filter, std::vector<TrafficEngine>& engines);

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

  // Sums by user (traffic_users.cc).
  using UserHours = std::map<std::tuple<std::int64_t, std::int64_t, std::string>, TrafficUser>;
  Result<std::int64_t> user_id(Connection& connection, const std::string& name);
  Result<void> write_users(Connection& connection, const UserHours& hours);

  std::unique_ptr<Connections> connections_;
  // Of the writing connection; emptied when a transaction is taken back.
  std::map<std::string, std::int64_t> group_ids_;
  std::map<std::string, std::int64_t> user_ids_;  // likewise
};

// Sums by minute (traffic_minutes.cc). Stateless.
Result<void> add_to_minute(Connection& connection, std::int64_t group, std::int64_t minute,
                           TrafficSums& sums);
// The minutes from `first` up to, not with, `last`.
Result<void> read_minutes(Connection& connection, const TrafficGroup& group, std::int64_t first,
                          std::int64_t last, const TrafficDay::Sink& sink);

// Sums by user and hour (traffic_users.cc). Stateless.
std::int64_t hour_of(double seconds) noexcept;
void add_to_user(const TrafficRequest& request, TrafficUser& user);

// Whether the filter asks for more than a range of time and a duration.
bool is_by_group(const TrafficFilter& filter);
bool matches(const TrafficFilter& filter, const TrafficGroup& group);
// The groups that match; with `totals` those that stand for all where all match: they are fewer.
Result<std::vector<TrafficGroup>> groups_of(Connection& connection, const TrafficFilter& filter,
                                            bool totals);

}  // namespace paring::store::detail
