// SPDX-License-Identifier: Apache-2.0
#include "store/ledger.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "store/detail/connections.h"

namespace paring::store {

namespace {

using detail::as_void;
using detail::Connection;
using detail::Cursor;
using detail::Durability;
using std::chrono::days;
using std::chrono::sys_days;
using std::chrono::sys_seconds;

// Sums of so many of these stay far below 2^63.
constexpr std::int64_t kTokensMax = std::int64_t{1} << 40;

sys_days day_of(std::int64_t now_s) {
  return std::chrono::floor<days>(sys_seconds(std::chrono::seconds(now_s)));
}

std::int64_t seconds_of(sys_days day) {
  return std::chrono::duration_cast<std::chrono::seconds>(day.time_since_epoch()).count();
}

std::chrono::year_month month_of(std::int64_t now_s) {
  const std::chrono::year_month_day date(day_of(now_s));
  return date.year() / date.month();
}

struct Spend {
  std::int64_t reserved = 0;
  std::int64_t settled = 0;
};

Result<Spend> read_spend(Connection& connection, std::string_view key_id, BudgetPeriod period,
                         std::int64_t start_s) {
  PARING_TRY(Cursor row, connection.query("SELECT reserved, settled FROM spend "
                                          "WHERE key_id = ?1 AND period = ?2 AND start_s = ?3",
                                          {key_id, budget_period_name(period), start_s}));
  PARING_TRY(const bool is_found, row.next());
  if (!is_found) return Spend{};
  return Spend{row.integer(0), row.integer(1)};
}

// The first budget of the key that has no room.
Result<std::optional<BudgetRefusal>> find_refusal(Connection& connection,
                                                  const ReservationRequest& request) {
  PARING_TRY(Cursor budget, connection.query("SELECT period, tokens FROM budgets WHERE key_id = ?1",
                                             {request.key_id}));
  PARING_TRY(bool has_row, budget.next());
  while (has_row) {
    for (const BudgetPeriod period : kBudgetPeriods) {
      if (budget.text(0) != budget_period_name(period)) continue;
      PARING_TRY(const Spend spend, read_spend(connection, request.key_id, period,
                                               budget_period_start(period, request.now_s)));
      const std::int64_t limit = budget.integer(1);
      if (spend.settled + spend.reserved + request.tokens > limit) {
        return std::optional(BudgetRefusal{period, limit, spend.settled, spend.reserved});
      }
    }
    PARING_TRY(has_row, budget.next());
  }
  return std::optional<BudgetRefusal>();
}

struct Reservation {
  std::int64_t id = 0;
  std::string key_id;
  std::string request_id;
  std::int64_t tokens = 0;
  std::int64_t charge_if_lost = 0;
  std::int64_t day_s = 0;
  std::int64_t month_s = 0;

  std::int64_t start_s(BudgetPeriod period) const {
    if (period == BudgetPeriod::kDay) return day_s;
    return period == BudgetPeriod::kMonth ? month_s : 0;
  }
};

Reservation reservation_of(const Cursor& row) {
  return {row.integer(0), row.text(1),    row.text(2),   row.integer(3),
          row.integer(4), row.integer(5), row.integer(6)};
}

enum class Charge : std::uint8_t { kSettled, kRecovered };

// Moves a reservation from `reserved` to `settled`, the ledger keeping what was charged.
Result<void> charge(Connection& connection, const Reservation& reservation, std::int64_t tokens,
                    Charge kind, std::int64_t now_s) {
  for (const BudgetPeriod period : kBudgetPeriods) {
    PARING_TRY_VOID(as_void(
        connection.execute("UPDATE spend SET reserved = reserved - ?4, settled = settled + ?5 "
                           "WHERE key_id = ?1 AND period = ?2 AND start_s = ?3",
                           {reservation.key_id, budget_period_name(period),
                            reservation.start_s(period), reservation.tokens, tokens})));
  }
  PARING_TRY_VOID(as_void(connection.execute(
      "INSERT INTO ledger(reservation_id, key_id, request_id, at_s, day_s, month_s, tokens, "
      "is_recovered) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
      {reservation.id, reservation.key_id, reservation.request_id, now_s, reservation.day_s,
       reservation.month_s, tokens, kind == Charge::kRecovered ? 1 : 0})));
  return as_void(connection.execute("DELETE FROM reservations WHERE id = ?1", {reservation.id}));
}

}  // namespace

std::int64_t budget_period_start(BudgetPeriod period, std::int64_t now_s) noexcept {
  if (period == BudgetPeriod::kTotal) return 0;
  if (period == BudgetPeriod::kDay) return seconds_of(day_of(now_s));
  return seconds_of(sys_days(month_of(now_s) / 1));
}

std::optional<std::int64_t> budget_period_end(BudgetPeriod period, std::int64_t now_s) noexcept {
  if (period == BudgetPeriod::kTotal) return std::nullopt;
  if (period == BudgetPeriod::kDay) return seconds_of(day_of(now_s) + days(1));
  return seconds_of(sys_days((month_of(now_s) + std::chrono::months(1)) / 1));
}

Result<ReservationOutcome> Ledger::reserve(const ReservationRequest& request) const {
  if (request.tokens < 0 || request.tokens > kTokensMax) {
    return invalid_argument(
        fmt::format("{} tokens cannot be reserved, 0 to {} can", request.tokens, kTokensMax));
  }
  if (request.charge_if_lost < 0 || request.charge_if_lost > request.tokens) {
    return invalid_argument(fmt::format("a charge of {} is not within the reservation of {}",
                                        request.charge_if_lost, request.tokens));
  }
  return control_.connections().write(
      Durability::kProcess, [&](Connection& connection) -> Result<ReservationOutcome> {
        PARING_TRY(const std::int64_t known,
                   connection.integer("SELECT count(*) FROM keys WHERE id = ?1", {request.key_id}));
        if (known == 0) return not_found(fmt::format("there is no key '{}'", request.key_id));
        PARING_TRY(std::optional<BudgetRefusal> refusal, find_refusal(connection, request));
        if (refusal) return ReservationOutcome{std::nullopt, refusal};
        for (const BudgetPeriod period : kBudgetPeriods) {
          PARING_TRY_VOID(as_void(
              connection.execute("INSERT INTO spend(key_id, period, start_s, reserved, settled) "
                                 "VALUES(?1, ?2, ?3, ?4, 0) ON CONFLICT(key_id, period, start_s) "
                                 "DO UPDATE SET reserved = reserved + excluded.reserved",
                                 {request.key_id, budget_period_name(period),
                                  budget_period_start(period, request.now_s), request.tokens})));
        }
        PARING_TRY_VOID(as_void(connection.execute(
            "INSERT INTO reservations(key_id, request_id, tokens, charge_if_lost, day_s, month_s) "
            "VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
            {request.key_id, request.request_id, request.tokens, request.charge_if_lost,
             budget_period_start(BudgetPeriod::kDay, request.now_s),
             budget_period_start(BudgetPeriod::kMonth, request.now_s)})));
        return ReservationOutcome{connection.last_row_id(), std::nullopt};
      });
}

Result<void> Ledger::raise_charge_if_lost(std::int64_t reservation, std::int64_t tokens) const {
  return control_.connections().write(
      Durability::kProcess, [&](Connection& connection) -> Result<void> {
        PARING_TRY(const std::int64_t changed,
                   connection.execute("UPDATE reservations SET "
                                      "charge_if_lost = min(tokens, max(charge_if_lost, ?2)) "
                                      "WHERE id = ?1",
                                      {reservation, tokens}));
        if (changed == 1) return {};
        return not_found(fmt::format("there is no reservation {}", reservation));
      });
}

Result<void> Ledger::settle(std::int64_t reservation, std::int64_t tokens,
                            std::int64_t now_s) const {
  std::int64_t reserved = 0;
  PARING_TRY_VOID(control_.connections().write(
      Durability::kProcess, [&](Connection& connection) -> Result<void> {
        PARING_TRY(Cursor row,
                   connection.query("SELECT id, key_id, request_id, tokens, charge_if_lost, "
                                    "day_s, month_s FROM reservations WHERE id = ?1",
                                    {reservation}));
        PARING_TRY(const bool is_found, row.next());
        if (!is_found) return not_found(fmt::format("there is no reservation {}", reservation));
        const Reservation found = reservation_of(row);
        reserved = found.tokens;
        return charge(connection, found, std::clamp<std::int64_t>(tokens, 0, reserved),
                      Charge::kSettled, now_s);
      }));
  if (tokens >= 0 && tokens <= reserved) return {};
  return invalid_argument(fmt::format("{} tokens were used, {} were reserved", tokens, reserved));
}

Result<RecoveredReservations> Ledger::recover(std::int64_t now_s) const {
  return control_.connections().write(
      Durability::kPower, [&](Connection& connection) -> Result<RecoveredReservations> {
        std::vector<Reservation> left;
        {
          PARING_TRY(Cursor row,
                     connection.query("SELECT id, key_id, request_id, tokens, charge_if_lost, "
                                      "day_s, month_s FROM reservations"));
          PARING_TRY(bool has_row, row.next());
          while (has_row) {
            left.push_back(reservation_of(row));
            PARING_TRY(has_row, row.next());
          }
        }
        RecoveredReservations recovered;
        for (const Reservation& each : left) {
          PARING_TRY_VOID(charge(connection, each, each.charge_if_lost, Charge::kRecovered, now_s));
          ++recovered.count;
          recovered.tokens_charged += each.charge_if_lost;
        }
        return recovered;
      });
}

Result<std::vector<SpendRow>> Ledger::spend(std::string_view key_id, std::int64_t now_s) const {
  return control_.connections().read([&](Connection& connection) -> Result<std::vector<SpendRow>> {
    std::vector<SpendRow> rows;
    for (const BudgetPeriod period : kBudgetPeriods) {
      const std::int64_t start_s = budget_period_start(period, now_s);
      PARING_TRY(const Spend spend, read_spend(connection, key_id, period, start_s));
      rows.push_back({period, start_s, spend.reserved, spend.settled});
    }
    return rows;
  });
}

Result<void> Ledger::check() const {
  return control_.connections().read([](Connection& connection) -> Result<void> {
    // One statement, so that it sees one state. Sums by key and period, side by side.
    PARING_TRY(Cursor row, connection.query(R"sql(
WITH sums(key_id, period, start_s, reserved, settled) AS (
  SELECT key_id, 'day', day_s, tokens, 0 FROM reservations
  UNION ALL SELECT key_id, 'month', month_s, tokens, 0 FROM reservations
  UNION ALL SELECT key_id, 'total', 0, tokens, 0 FROM reservations
  UNION ALL SELECT key_id, 'day', day_s, 0, tokens FROM ledger
  UNION ALL SELECT key_id, 'month', month_s, 0, tokens FROM ledger
  UNION ALL SELECT key_id, 'total', 0, 0, tokens FROM ledger
  UNION ALL SELECT key_id, period, start_s, -reserved, -settled FROM spend)
SELECT key_id, period, start_s, sum(reserved), sum(settled) FROM sums
GROUP BY key_id, period, start_s HAVING sum(reserved) <> 0 OR sum(settled) <> 0 LIMIT 1)sql"));
    PARING_TRY(const bool is_wrong, row.next());
    if (!is_wrong) return {};
    return corrupt(
        fmt::format("the ledger of key '{}', {} from {}, is {} reserved and {} settled tokens off",
                    row.text(0), row.text(1), row.integer(2), row.integer(3), row.integer(4)));
  });
}

Result<std::int64_t> Ledger::total_charged(std::string_view key_id) const {
  return control_.connections().read([&](Connection& connection) {
    return connection.integer("SELECT coalesce(sum(tokens), 0) FROM ledger WHERE key_id = ?1",
                              {key_id});
  });
}

}  // namespace paring::store
