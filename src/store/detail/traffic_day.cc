// SPDX-License-Identifier: Apache-2.0
#include "store/detail/traffic_day.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "store/detail/database_file.h"
#include "store/detail/migrations.h"

namespace paring::store::detail {

namespace {

// A client can name models that do not exist: what it can add to each day is bounded.
constexpr std::int64_t kGroupsMax = 4096;
constexpr const char* kOther = "(other)";

// What request_of() reads, from column 3 on.
#define PARING_REQUEST_COLUMNS                                                                    \
  "r.started_s, r.seq, r.group_id, r.id, r.trace_id, r.span_id, r.parent_id, g.route, r.status, " \
  "r.is_complete, r.ending, r.error_code, g.key_id, g.tenant, r.user, r.session, g.model, "       \
  "g.variant, g.cache, r.prompt_fresh, r.prompt_cached, r.answer_visible, r.answer_reasoning, "   \
  "r.drafted, r.accepted, r.queue_s, r.prefill_s, r.decode_s, r.first_token_s, r.total_s, "       \
  "r.operations, r.bytes_read, r.joules, r.joules_kind, r.hardware_cost, r.energy_cost, "         \
  "r.token_cost, g.currency, r.peak_pages, r.preemptions, r.gaps, r.prompt_version, "             \
  "r.prefill_work_s, r.decode_work_s, r.prompt_key, r.is_repeatable, r.prompt_blocks "
constexpr int kRequestColumns = 47;
#define PARING_REQUEST_TABLES "FROM requests r JOIN request_groups g ON g.id = r.group_id "

JoulesKind joules_kind_of(const std::string& name) {
  if (name == joules_kind_name(JoulesKind::kMeasured)) return JoulesKind::kMeasured;
  if (name == joules_kind_name(JoulesKind::kEstimated)) return JoulesKind::kEstimated;
  return JoulesKind::kNone;
}

// REQUIRES: a statement that begins with PARING_REQUEST_COLUMNS.
TrafficRequest request_of(const Cursor& row) {
  TrafficRequest request;
  request.started_s = row.real(0);
  int column = 2;
  const auto text = [&] { return row.text(++column); };
  const auto integer = [&] { return row.integer(++column); };
  const auto real = [&] { return row.real(++column); };
  const auto optional_real = [&] { return row.optional_real(++column); };
  request.id = text();
  request.trace_id = text();
  request.span_id = text();
  request.parent_id = text();
  request.route = text();
  request.status = static_cast<int>(integer());
  request.is_complete = integer() != 0;
  request.end = text();
  request.error_code = text();
  request.key_id = text();
  request.tenant = text();
  request.user = text();
  request.session = text();
  request.model = text();
  request.variant = text();
  request.cache = traffic_cache_of(text()).value_or(TrafficCache::kNone);
  request.tokens.prompt_fresh = integer();
  request.tokens.prompt_cached = integer();
  request.tokens.answer_visible = integer();
  request.tokens.answer_reasoning = integer();
  request.tokens.drafted = integer();
  request.tokens.accepted = integer();
  request.seconds.queue = optional_real();
  request.seconds.prefill = optional_real();
  request.seconds.decode = optional_real();
  request.seconds.first_token = optional_real();
  request.seconds.total = optional_real();
  request.operations = real();
  request.bytes_read = real();
  request.joules = real();
  request.joules_kind = joules_kind_of(text());
  request.money.hardware = real();
  request.money.energy = real();
  request.money.tokens = real();
  request.money.currency = text();
  request.peak_pages = integer();
  request.preemptions = integer();
  const auto bytes = [&](std::vector<std::uint8_t>& value) {
    const std::span<const std::uint8_t> blob = row.blob(++column);
    value.assign(blob.begin(), blob.end());
  };
  bytes(request.gaps);
  request.prompt_version = text();
  request.seconds.prefill_work = real();
  request.seconds.decode_work = real();
  request.marks.key = static_cast<std::uint64_t>(integer());
  request.marks.is_repeatable = integer() != 0;
  bytes(request.marks.blocks);
  return request;
}

TrafficGroup group_of_row(const Cursor& row) {
  return {row.integer(0), row.integer(1) != 0, row.text(2), row.text(3),
          row.text(4),    row.text(5),         row.text(6), static_cast<int>(row.integer(7)),
          row.text(8),    row.text(9)};
}

}  // namespace

Result<std::vector<TrafficGroup>> groups_of(Connection& connection, const TrafficFilter& filter,
                                            bool totals) {
  PARING_TRY(Cursor row,
             connection.query("SELECT id, is_total, tenant, model, variant, key_id, route, "
                              "status_class, cache, currency FROM request_groups"));
  std::vector<TrafficGroup> all;
  std::vector<TrafficGroup> matching;
  bool is_partial = false;
  PARING_TRY(bool has_row, row.next());
  while (has_row) {
    TrafficGroup group = group_of_row(row);
    if (group.is_total) {
      all.push_back(std::move(group));
    } else if (matches(filter, group)) {
      matching.push_back(std::move(group));
    } else {
      is_partial = true;
    }
    PARING_TRY(has_row, row.next());
  }
  return totals && !is_partial ? all : matching;
}

namespace {

std::string name_of(const TrafficGroup& group) {
  std::string name = group.is_total ? "1" : "0";
  for (const std::string* part : {&group.tenant, &group.model, &group.variant, &group.key_id,
                                  &group.route, &group.cache, &group.currency}) {
    name += fmt::format("{}:", part->size()) + *part;
  }
  return name + std::to_string(group.status_class);
}

TrafficGroup group_of_request(const TrafficRequest& request) {
  TrafficGroup group;
  group.tenant = request.tenant;
  group.model = request.model;
  group.variant = request.variant;
  group.key_id = request.key_id;
  group.route = request.route;
  group.status_class = request.status / 100;
  group.cache = traffic_cache_name(request.cache);
  group.currency = request.money.currency;
  return group;
}

TrafficGroup total_of(const std::string& currency) {
  TrafficGroup group;
  group.is_total = true;
  group.currency = currency;
  return group;
}

std::int64_t minute_of(double seconds) {
  return static_cast<std::int64_t>(std::floor(seconds / 60));
}

// Rows of one range of time, one at a time.
Result<void> sum_rows(Connection& connection, const TrafficFilter& filter, double from_s,
                      double to_s, const TrafficDay::Sink& sink) {
  if (from_s >= to_s) return {};
  PARING_TRY(std::vector<TrafficGroup> groups, groups_of(connection, filter, false));
  std::map<std::int64_t, TrafficGroup> wanted;
  for (TrafficGroup& group : groups) wanted.emplace(group.id, std::move(group));
  PARING_TRY(Cursor row, connection.query("SELECT " PARING_REQUEST_COLUMNS PARING_REQUEST_TABLES
                                          "WHERE r.started_s >= ?1 AND r.started_s < ?2 AND "
                                          "(?3 IS NULL OR r.total_s >= ?3) ORDER BY r.started_s",
                                          {from_s, to_s, filter.min_total_seconds}));
  PARING_TRY(bool has_row, row.next());
  while (has_row) {
    if (const auto group = wanted.find(row.integer(2)); group != wanted.end()) {
      TrafficSums sums;
      sums.add(request_of(row));
      sink(static_cast<std::int64_t>(std::floor(row.real(0))), group->second, sums);
    }
    PARING_TRY(has_row, row.next());
  }
  return {};
}

// Places of rows in a cursor's columns 0 and 1.
Result<void> take_places(Result<Cursor> cursor, std::vector<TrafficPlace>& places) {
  PARING_TRY(Cursor row, std::move(cursor));
  PARING_TRY(bool has_row, row.next());
  while (has_row) {
    places.push_back({row.real(0), row.integer(1)});
    PARING_TRY(has_row, row.next());
  }
  return {};
}

// Index entries only; each group gives its newest ones, since few rows of it may be among many.
Result<std::vector<TrafficPlace>> places_of(Connection& connection, const TrafficFilter& filter,
                                            const TrafficPlace& below, std::int64_t limit) {
  // One upper bound, so that the index is entered there.
  const bool is_end = filter.to_s <= below.started_s;
  const double to_s = is_end ? filter.to_s : below.started_s;
  const std::int64_t seq = is_end ? std::numeric_limits<std::int64_t>::min() : below.seq;
  std::vector<TrafficPlace> places;
  if (!is_by_group(filter)) {
    PARING_TRY_VOID(take_places(
        connection.query("SELECT started_s, seq FROM requests WHERE started_s >= ?1 AND "
                         "started_s <= ?2 AND (started_s < ?2 OR seq < ?3) AND "
                         "(?4 IS NULL OR total_s >= ?4) ORDER BY started_s DESC, seq DESC LIMIT ?5",
                         {filter.from_s, to_s, seq, filter.min_total_seconds, limit}),
        places));
    return places;
  }
  PARING_TRY(const std::vector<TrafficGroup> groups, groups_of(connection, filter, false));
  for (const TrafficGroup& group : groups) {
    PARING_TRY_VOID(take_places(
        connection.query("SELECT started_s, seq FROM requests WHERE group_id = ?6 AND "
                         "started_s >= ?1 AND started_s <= ?2 AND (started_s < ?2 OR seq < ?3) AND "
                         "(?4 IS NULL OR total_s >= ?4) ORDER BY started_s DESC, seq DESC LIMIT ?5",
                         {filter.from_s, to_s, seq, filter.min_total_seconds, limit, group.id}),
        places));
  }
  std::ranges::sort(places, [](const TrafficPlace& a, const TrafficPlace& b) {
    return std::pair(a.started_s, a.seq) > std::pair(b.started_s, b.seq);
  });
  if (static_cast<std::int64_t>(places.size()) > limit) {
    places.resize(static_cast<std::size_t>(limit));
  }
  return places;
}

}  // namespace

TrafficDay::TrafficDay(std::unique_ptr<Connections> connections)
    : connections_(std::move(connections)) {}

Result<std::shared_ptr<TrafficDay>> TrafficDay::open(const std::string& path,
                                                     std::int64_t busy_ms) {
  PARING_TRY_VOID(make_private_file(path));
  PARING_TRY(std::unique_ptr<Connection> writer, Connection::open(path, busy_ms));
  // Before the first table, so that content that goes can give its room back; and what is removed
  // is overwritten.
  PARING_TRY_VOID(writer->script("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA secure_delete = ON;"));
  PARING_TRY_VOID(use_wal(*writer, busy_ms));
  PARING_TRY_VOID(migrate(*writer, traffic_schema(), traffic_schema().latest()));
  auto connections = std::make_unique<Connections>(std::move(writer), busy_ms);
  return std::shared_ptr<TrafficDay>(new TrafficDay(std::move(connections)));
}

Result<std::int64_t> TrafficDay::group_id(Connection& connection, const TrafficGroup& group) {
  const std::string name = name_of(group);
  if (const auto known = group_ids_.find(name); known != group_ids_.end()) return known->second;
  const Values values = {group.is_total ? 1 : 0, group.tenant, group.model,
                         group.variant,          group.key_id, group.route,
                         group.status_class,     group.cache,  group.currency};
  PARING_TRY_VOID(as_void(connection.execute(
      "INSERT INTO request_groups(is_total, tenant, model, variant, key_id, route, status_class, "
      "cache, currency) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT DO NOTHING",
      values)));
  PARING_TRY(const std::int64_t id,
             connection.integer("SELECT id FROM request_groups WHERE is_total = ?1 AND "
                                "tenant = ?2 AND model = ?3 AND variant = ?4 AND key_id = ?5 AND "
                                "route = ?6 AND status_class = ?7 AND cache = ?8 AND currency = ?9",
                                values));
  group_ids_.emplace(name, id);
  return id;
}

Result<std::int64_t> TrafficDay::group_of(Connection& connection, const TrafficRequest& request) {
  TrafficGroup group = group_of_request(request);
  if (!group_ids_.contains(name_of(group))) {
    PARING_TRY(const std::int64_t groups,
               connection.integer("SELECT count(*) FROM request_groups"));
    if (groups >= kGroupsMax) group.model = group.variant = kOther;
  }
  return group_id(connection, group);
}

Result<bool> TrafficDay::insert(Connection& connection, const TrafficRequest& request,
                                std::int64_t group, TrafficParts parts) {
  PARING_TRY(
      const std::int64_t changed,
      connection.execute(
          "INSERT INTO requests(group_id, id, trace_id, span_id, parent_id, started_s, status, "
          "is_complete, ending, error_code, user, session, prompt_fresh, prompt_cached, "
          "answer_visible, answer_reasoning, drafted, accepted, queue_s, prefill_s, decode_s, "
          "first_token_s, total_s, operations, bytes_read, joules, joules_kind, hardware_cost, "
          "energy_cost, token_cost, peak_pages, preemptions, gaps, prompt_version, "
          "prefill_work_s, decode_work_s, prompt_key, is_repeatable, prompt_blocks) "
          "VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "
          "?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
          "ON CONFLICT DO NOTHING",
          {group,
           request.id,
           request.trace_id,
           request.span_id,
           request.parent_id,
           request.started_s,
           request.status,
           request.is_complete ? 1 : 0,
           request.end,
           request.error_code,
           request.user,
           request.session,
           request.tokens.prompt_fresh,
           request.tokens.prompt_cached,
           request.tokens.answer_visible,
           request.tokens.answer_reasoning,
           request.tokens.drafted,
           request.tokens.accepted,
           request.seconds.queue,
           request.seconds.prefill,
           request.seconds.decode,
           request.seconds.first_token,
           request.seconds.total,
           request.operations,
           request.bytes_read,
           request.joules,
           joules_kind_name(request.joules_kind),
           request.money.hardware,
           request.money.energy,
           request.money.tokens,
           request.peak_pages,
           request.preemptions,
           std::span<const std::uint8_t>(request.gaps),
           request.prompt_version,
           request.seconds.prefill_work,
           request.seconds.decode_work,
           static_cast<std::int64_t>(request.marks.key),
           request.marks.is_repeatable ? 1 : 0,
           std::span<const std::uint8_t>(request.marks.blocks)}));
  if (changed == 0) return false;
  if (request.content && parts == TrafficParts::kAll) {
    PARING_TRY_VOID(as_void(connection.execute(
        "INSERT INTO contents(seq, started_s, prompt, answer) VALUES(?1, ?2, ?3, ?4)",
        {connection.last_row_id(), request.started_s, request.content->prompt,
         request.content->answer})));
  }
  return true;
}

Result<std::int64_t> TrafficDay::append_within(Connection& connection,
                                               std::span<const TrafficRequest* const> rows,
                                               TrafficParts parts) {
  // Each sum is read and written once for all rows of its group and minute.
  std::map<std::pair<std::int64_t, std::int64_t>, TrafficSums> minutes;
  UserHours users;
  std::int64_t written = 0;
  for (const TrafficRequest* request : rows) {
    PARING_TRY(const std::int64_t group, group_of(connection, *request));
    PARING_TRY(const bool is_new, insert(connection, *request, group, parts));
    if (!is_new) continue;
    ++written;
    minutes[{group, minute_of(request->started_s)}].add(*request);
    PARING_TRY(const std::int64_t total, group_id(connection, total_of(request->money.currency)));
    minutes[{total, minute_of(request->started_s)}].add(*request);
    if (!request->user.empty()) {
      add_to_user(*request, users[{hour_of(request->started_s), group, request->user}]);
    }
  }
  for (auto& [place, sums] : minutes) {
    PARING_TRY_VOID(add_to_minute(connection, place.first, place.second, sums));
  }
  PARING_TRY_VOID(write_users(connection, users));
  return written;
}

Result<std::int64_t> TrafficDay::append(std::span<const TrafficRequest* const> rows,
                                        const TrafficDb::Append& options) {
  const Durability durability =
      options.durability == TrafficDurability::kPower ? Durability::kPower : Durability::kProcess;
  // Groups that were made in a transaction that is taken back must not be remembered.
  return connections_->write(
      durability,
      [&](Connection& connection) { return append_within(connection, rows, options.parts); },
      [&] {
        group_ids_.clear();
        user_ids_.clear();
      });
}

Result<void> TrafficDay::find(std::string_view id, std::size_t limit,
                              std::vector<TrafficRequest>& found) {
  return connections_->read([&](Connection& connection) -> Result<void> {
    PARING_TRY(Cursor row, connection.query("SELECT " PARING_REQUEST_COLUMNS
                                            ", c.prompt, c.answer " PARING_REQUEST_TABLES
                                            "LEFT JOIN contents c ON c.seq = r.seq "
                                            "WHERE r.id = ?1 ORDER BY r.started_s LIMIT ?2",
                                            {id, static_cast<std::int64_t>(limit)}));
    constexpr int kContentColumn = kRequestColumns;
    PARING_TRY(bool has_row, row.next());
    while (has_row) {
      TrafficRequest request = request_of(row);
      request.has_content = !row.is_null(kContentColumn);
      if (request.has_content) {
        request.content = TrafficContent{row.text(kContentColumn), row.text(kContentColumn + 1)};
      }
      found.push_back(std::move(request));
      PARING_TRY(has_row, row.next());
    }
    return {};
  });
}

Result<std::vector<TrafficDay::PlacedRow>> TrafficDay::page(const TrafficFilter& filter,
                                                            const TrafficPlace& below,
                                                            std::int64_t limit,
                                                            TrafficParts parts) {
  return connections_->read([&](Connection& connection) -> Result<std::vector<PlacedRow>> {
    PARING_TRY(const std::vector<TrafficPlace> places, places_of(connection, filter, below, limit));
    std::vector<PlacedRow> rows;
    for (const TrafficPlace& place : places) {
      PARING_TRY(Cursor row,
                 connection.query(
                     "SELECT " PARING_REQUEST_COLUMNS
                     ", EXISTS(SELECT 1 FROM contents c WHERE c.seq = r.seq) " PARING_REQUEST_TABLES
                     "WHERE r.seq = ?1",
                     {place.seq}));
      PARING_TRY(const bool is_found, row.next());
      if (!is_found) continue;
      rows.push_back({place, request_of(row)});
      constexpr int kHasContentColumn = kRequestColumns;
      rows.back().request.has_content = row.integer(kHasContentColumn) != 0;
      if (parts == TrafficParts::kWithoutContent || !rows.back().request.has_content) continue;
      PARING_TRY(
          Cursor content,
          connection.query("SELECT prompt, answer FROM contents WHERE seq = ?1", {place.seq}));
      PARING_TRY(const bool has_content, content.next());
      if (has_content) rows.back().request.content = {content.text(0), content.text(1)};
    }
    return rows;
  });
}

Result<void> TrafficDay::sum(const TrafficFilter& filter, Detail detail, const Sink& sink) {
  return connections_->read([&](Connection& connection) -> Result<void> {
    // No time of this file is larger.
    constexpr double kEnd = 1e12;
    const double to_s = std::min(filter.to_s, kEnd);
    const double first = std::ceil(std::max(filter.from_s, 0.0) / 60);
    const double last = std::floor(to_s / 60);
    if (detail == Detail::kRows || filter.min_total_seconds || first >= last) {
      return sum_rows(connection, filter, filter.from_s, to_s, sink);
    }
    PARING_TRY_VOID(sum_rows(connection, filter, filter.from_s, first * 60, sink));
    PARING_TRY(const std::vector<TrafficGroup> groups,
               groups_of(connection, filter, detail == Detail::kMinutes));
    // The minutes of a group lie within 2^32.
    for (const TrafficGroup& group : groups) {
      PARING_TRY_VOID(read_minutes(connection, group, static_cast<std::int64_t>(first),
                                   static_cast<std::int64_t>(std::min(last, 4294967295.0)), sink));
    }
    return sum_rows(connection, filter, last * 60, to_s, sink);
  });
}

Result<std::int64_t> TrafficDay::content_remove_before(double time_s) {
  PARING_TRY(const std::int64_t removed,
             connections_->write(Durability::kPower, [&](Connection& connection) {
               return connection.execute("DELETE FROM contents WHERE started_s < ?1", {time_s});
             }));
  if (removed == 0) return removed;
  // The log holds old pages until it is cut. Where others read, this is left to the next time.
  PARING_TRY_VOID(connections_->maintain([](Connection& connection) {
    return connection.script("PRAGMA incremental_vacuum; PRAGMA wal_checkpoint(TRUNCATE);");
  }));
  return removed;
}

}  // namespace paring::store::detail
