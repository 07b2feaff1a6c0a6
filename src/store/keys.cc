// SPDX-License-Identifier: Apache-2.0
#include "store/keys.h"

#include <fmt/format.h>

#include <algorithm>

#include "store/detail/connections.h"

namespace paring::store {

namespace {

using detail::as_void;
using detail::Connection;
using detail::Cursor;
using detail::Durability;

// REQUIRES: the columns of the queries below, in their order.
KeyRow row_of(const Cursor& row) {
  KeyRow key;
  key.id = row.text(0);
  key.tenant = row.text(1);
  key.name = row.text(2);
  key.lookup = row.text(3);
  const std::span<const std::uint8_t> hash = row.blob(4);
  std::copy_n(hash.begin(), std::min(hash.size(), key.hash.size()), key.hash.begin());
  key.scopes = row.text(5);
  key.created_s = row.integer(6);
  key.expires_s = row.optional_integer(7);
  key.revoked_s = row.optional_integer(8);
  key.last_used_s = row.optional_integer(9);
  key.limits.requests_per_minute = row.optional_integer(10);
  key.limits.tokens_per_minute = row.optional_integer(11);
  key.limits.concurrent_requests = row.optional_integer(12);
  key.limits.weight = row.integer(13);
  return key;
}

Result<BudgetPeriod> period_of(const std::string& name) {
  for (const BudgetPeriod period : kBudgetPeriods) {
    if (name == budget_period_name(period)) return period;
  }
  return corrupt(fmt::format("'{}' is no period of a budget", name));
}

Result<void> add_budgets(Connection& connection, KeyRow& key) {
  PARING_TRY(Cursor row,
             connection.query(
                 "SELECT period, tokens FROM budgets WHERE key_id = ?1 ORDER BY period", {key.id}));
  PARING_TRY(bool has_row, row.next());
  while (has_row) {
    PARING_TRY(const BudgetPeriod period, period_of(row.text(0)));
    key.limits.budgets.push_back({period, row.integer(1)});
    PARING_TRY(has_row, row.next());
  }
  return {};
}

Result<std::optional<KeyRow>> one(Connection& connection, Cursor row) {
  PARING_TRY(const bool is_found, row.next());
  if (!is_found) return std::optional<KeyRow>();
  KeyRow key = row_of(row);
  PARING_TRY_VOID(add_budgets(connection, key));
  return std::optional<KeyRow>(std::move(key));
}

}  // namespace

const char* budget_period_name(BudgetPeriod period) noexcept {
  switch (period) {
    case BudgetPeriod::kDay:
      return "day";
    case BudgetPeriod::kMonth:
      return "month";
    case BudgetPeriod::kTotal:
      return "total";
  }
  return "total";
}

Result<void> Keys::insert(const KeyRow& key) const {
  return control_.connections().write(
      Durability::kPower, [&](Connection& connection) -> Result<void> {
        const KeyLimits& limits = key.limits;
        PARING_TRY(const std::int64_t added,
                   connection.execute(
                       "INSERT INTO keys(id, tenant, name, lookup, hash, scopes, created_s, "
                       "expires_s, revoked_s, last_used_s, requests_per_minute, "
                       "tokens_per_minute, concurrent_requests, weight) "
                       "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
                       {key.id, key.tenant, key.name, key.lookup,
                        std::span<const std::uint8_t>(key.hash), key.scopes, key.created_s,
                        key.expires_s, key.revoked_s, key.last_used_s, limits.requests_per_minute,
                        limits.tokens_per_minute, limits.concurrent_requests, limits.weight}));
        PARING_CHECK(added == 1, "an insertion without a row");
        for (const Budget& budget : limits.budgets) {
          PARING_TRY_VOID(as_void(
              connection.execute("INSERT INTO budgets(key_id, period, tokens) VALUES(?1, ?2, ?3)",
                                 {key.id, budget_period_name(budget.period), budget.tokens})));
        }
        return {};
      });
}

Result<std::optional<KeyRow>> Keys::find_by_lookup(std::string_view lookup) const {
  return control_.connections().read([&](Connection& connection) -> Result<std::optional<KeyRow>> {
    PARING_TRY(Cursor row,
               connection.query("SELECT id, tenant, name, lookup, hash, scopes, created_s, "
                                "expires_s, revoked_s, last_used_s, requests_per_minute, "
                                "tokens_per_minute, concurrent_requests, weight "
                                "FROM keys WHERE lookup = ?1",
                                {lookup}));
    return one(connection, std::move(row));
  });
}

Result<std::optional<KeyRow>> Keys::find(std::string_view id) const {
  return control_.connections().read([&](Connection& connection) -> Result<std::optional<KeyRow>> {
    PARING_TRY(Cursor row,
               connection.query("SELECT id, tenant, name, lookup, hash, scopes, created_s, "
                                "expires_s, revoked_s, last_used_s, requests_per_minute, "
                                "tokens_per_minute, concurrent_requests, weight "
                                "FROM keys WHERE id = ?1",
                                {id}));
    return one(connection, std::move(row));
  });
}

Result<bool> Keys::has_any() const {
  return control_.connections().read([](Connection& connection) -> Result<bool> {
    PARING_TRY(Cursor row, connection.query("SELECT EXISTS (SELECT 1 FROM keys)"));
    PARING_TRY(const bool has_row, row.next());
    return has_row && row.integer(0) != 0;
  });
}

Result<std::vector<KeyRow>> Keys::list() const {
  return control_.connections().read([&](Connection& connection) -> Result<std::vector<KeyRow>> {
    std::vector<KeyRow> keys;
    PARING_TRY(Cursor row,
               connection.query("SELECT id, tenant, name, lookup, hash, scopes, created_s, "
                                "expires_s, revoked_s, last_used_s, requests_per_minute, "
                                "tokens_per_minute, concurrent_requests, weight "
                                "FROM keys ORDER BY created_s, rowid"));
    PARING_TRY(bool has_row, row.next());
    while (has_row) {
      keys.push_back(row_of(row));
      PARING_TRY_VOID(add_budgets(connection, keys.back()));
      PARING_TRY(has_row, row.next());
    }
    return keys;
  });
}

Result<bool> Keys::revoke(std::string_view id, std::int64_t now_s) const {
  return control_.connections().write(
      Durability::kPower, [&](Connection& connection) -> Result<bool> {
        PARING_TRY(const std::int64_t changed,
                   connection.execute("UPDATE keys SET revoked_s = ?2 "
                                      "WHERE id = ?1 AND revoked_s IS NULL",
                                      {id, now_s}));
        if (changed == 1) return true;
        PARING_TRY(const std::int64_t known,
                   connection.integer("SELECT count(*) FROM keys WHERE id = ?1", {id}));
        if (known == 0) return not_found(fmt::format("there is no key '{}'", id));
        return false;
      });
}

Result<void> Keys::set_last_used(std::string_view id, std::int64_t now_s) const {
  return control_.connections().write(
      Durability::kProcess, [&](Connection& connection) -> Result<void> {
        return as_void(
            connection.execute("UPDATE keys SET last_used_s = max(coalesce(last_used_s, 0), ?2) "
                               "WHERE id = ?1",
                               {id, now_s}));
      });
}

}  // namespace paring::store
