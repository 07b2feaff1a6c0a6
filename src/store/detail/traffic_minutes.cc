// SPDX-License-Identifier: Apache-2.0
#include "store/detail/traffic_day.h"

namespace paring::store::detail {

namespace {

constexpr std::int64_t kGroupShift = std::int64_t{1} << 32;

// Columns after the id, in the order of their lists.
#define PARING_NAME(name) #name ", "
#define PARING_MINUTE_COLUMNS         \
  PARING_TRAFFIC_COUNTS(PARING_NAME)  \
  PARING_TRAFFIC_AMOUNTS(PARING_NAME) \
  "hardware_cost, energy_cost, token_cost, first_token_sketch, total_sketch, gap_sketch "

// Adds the present row of `row`, whose column 0 is the id, to `sums`.
Result<void> merge_row(const Cursor& row, const std::string& currency, TrafficSums& sums) {
  int column = 0;
#define PARING_X(name) sums.name += row.integer(++column);
  PARING_TRAFFIC_COUNTS(PARING_X)
#undef PARING_X
#define PARING_X(name) sums.name += row.real(++column);
  PARING_TRAFFIC_AMOUNTS(PARING_X)
#undef PARING_X
  sums.add({row.real(column + 1), row.real(column + 2), row.real(column + 3), currency});
  PARING_TRY_VOID(sums.first_token.merge_encoded(row.blob(column + 4)));
  PARING_TRY_VOID(sums.total.merge_encoded(row.blob(column + 5)));
  return sums.gap.merge_encoded(row.blob(column + 6));
}

}  // namespace

Result<void> add_to_minute(Connection& connection, std::int64_t group, std::int64_t minute,
                           TrafficSums& sums) {
  const std::int64_t id = group * kGroupShift + minute;
  // A group has one currency.
  TrafficMoney money = sums.money.empty() ? TrafficMoney{} : sums.money.front();
  {
    PARING_TRY(
        Cursor row,
        connection.query("SELECT id, " PARING_MINUTE_COLUMNS "FROM minutes WHERE id = ?1", {id}));
    PARING_TRY(const bool is_found, row.next());
    if (is_found) PARING_TRY_VOID(merge_row(row, money.currency, sums));
  }
  for (const TrafficMoney& each : sums.money) money = each;
  const std::vector<std::uint8_t> first_token = sums.first_token.encode();
  const std::vector<std::uint8_t> total = sums.total.encode();
  const std::vector<std::uint8_t> gap = sums.gap.encode();
#define PARING_MARK(name) "?, "
#define PARING_VALUE(name) sums.name,
  return as_void(connection.execute(
      "INSERT OR REPLACE INTO minutes(id, " PARING_MINUTE_COLUMNS
      ") VALUES(?, " PARING_TRAFFIC_COUNTS(PARING_MARK)
          PARING_TRAFFIC_AMOUNTS(PARING_MARK) "?, ?, ?, ?, ?, ?)",
      {id, PARING_TRAFFIC_COUNTS(PARING_VALUE) PARING_TRAFFIC_AMOUNTS(PARING_VALUE) money.hardware,
       money.energy, money.tokens, std::span<const std::uint8_t>(first_token),
       std::span<const std::uint8_t>(total), std::span<const std::uint8_t>(gap)}));
#undef PARING_MARK
#undef PARING_VALUE
}

Result<void> read_minutes(Connection& connection, const TrafficGroup& group, std::int64_t first,
                          std::int64_t last, const TrafficDay::Sink& sink) {
  PARING_TRY(Cursor row,
             connection.query("SELECT id, " PARING_MINUTE_COLUMNS
                              "FROM minutes WHERE id >= ?1 AND id < ?2 ORDER BY id",
                              {group.id * kGroupShift + first, group.id * kGroupShift + last}));
  PARING_TRY(bool has_row, row.next());
  while (has_row) {
    TrafficSums sums;
    PARING_TRY_VOID(merge_row(row, group.currency, sums));
    sink((row.integer(0) - group.id * kGroupShift) * 60, group, sums);
    PARING_TRY(has_row, row.next());
  }
  return {};
}

bool is_by_group(const TrafficFilter& filter) {
  return filter.tenant || filter.model || filter.variant || filter.key_id || filter.route ||
         filter.status_class || filter.cache;
}

bool matches(const TrafficFilter& filter, const TrafficGroup& group) {
  const auto is = [](const std::optional<std::string>& wanted, const std::string& text) {
    return !wanted || *wanted == text;
  };
  return is(filter.tenant, group.tenant) && is(filter.model, group.model) &&
         is(filter.variant, group.variant) && is(filter.key_id, group.key_id) &&
         is(filter.route, group.route) &&
         (!filter.status_class || *filter.status_class == group.status_class) &&
         (!filter.cache || traffic_cache_name(*filter.cache) == group.cache);
}

}  // namespace paring::store::detail
