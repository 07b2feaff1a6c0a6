// SPDX-License-Identifier: Apache-2.0
#include "store/audit.h"

#include <algorithm>

#include "store/detail/connections.h"

namespace paring::store {

namespace {

using detail::Connection;
using detail::Cursor;
using detail::Durability;

AuditRow row_of(const Cursor& row) {
  return {row.integer(0), row.integer(1), row.text(2), row.text(3),
          row.text(4),    row.text(5),    row.text(6)};
}

Result<std::vector<AuditRow>> rows_of(Result<Cursor> rows) {
  return detail::collect<AuditRow>(std::move(rows), row_of);
}

}  // namespace

Result<void> AuditLog::append(const AuditRow& row) const {
  return control_.connections().write(
      Durability::kPower, [&](Connection& connection) -> Result<void> {
        return detail::as_void(connection.execute(
            "INSERT INTO audit(at_s, actor, action, object, result, detail) "
            "VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
            {row.at_s, row.actor, row.action, row.object, row.result, row.detail}));
      });
}

Result<std::vector<AuditRow>> AuditLog::read(std::int64_t after, std::int64_t limit) const {
  return control_.connections().read([&](Connection& connection) {
    return rows_of(
        connection.query("SELECT id, at_s, actor, action, object, result, detail "
                         "FROM audit WHERE id > ?1 ORDER BY id LIMIT ?2",
                         {after, limit}));
  });
}

Result<std::vector<AuditRow>> AuditLog::tail(std::int64_t limit) const {
  return control_.connections().read([&](Connection& connection) -> Result<std::vector<AuditRow>> {
    PARING_TRY(auto rows,
               rows_of(connection.query("SELECT id, at_s, actor, action, object, result, detail "
                                        "FROM audit ORDER BY id DESC LIMIT ?1",
                                        {limit})));
    std::reverse(rows.begin(), rows.end());
    return rows;
  });
}

}  // namespace paring::store
