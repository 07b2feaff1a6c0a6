// SPDX-License-Identifier: Apache-2.0
#include "store/files.h"

#include <fmt/format.h>

#include <limits>

#include "store/detail/connections.h"
#include "store/detail/file_rows.h"

namespace paring::store {

namespace {

using detail::Connection;
using detail::Cursor;
using detail::Durability;

// REQUIRES: id, tenant, filename, purpose, bytes, sha256, created_s, expires_s.
FileRow row_of(const Cursor& row) {
  return {row.text(0),    row.text(1), row.text(2),    row.text(3),
          row.integer(4), row.text(5), row.integer(6), row.optional_integer(7)};
}

Result<std::vector<FileRow>> rows_of(Result<Cursor> rows) {
  return detail::collect<FileRow>(std::move(rows), row_of);
}

Result<std::int64_t> bytes_of_tenant(Connection& connection, std::string_view tenant) {
  return connection.integer("SELECT coalesce(sum(bytes), 0) FROM files WHERE tenant = ?1",
                            {tenant});
}

Result<std::int64_t> open_batches_of(Connection& connection, std::string_view file_id) {
  return connection.integer(
      "SELECT count(*) FROM batches WHERE input_file_id = ?1 AND "
      "state IN ('validating', 'in_progress', 'finalizing', 'cancelling')",
      {file_id});
}

Result<void> remove_row(Connection& connection, std::string_view id) {
  return detail::as_void(connection.execute("DELETE FROM files WHERE id = ?1", {id}));
}

}  // namespace

Result<void> detail::insert_file(Connection& connection, const FileRow& file) {
  return as_void(connection.execute(
      "INSERT INTO files(id, tenant, filename, purpose, bytes, sha256, created_s, expires_s) "
      "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
      {file.id, file.tenant, file.filename, file.purpose, file.bytes, file.sha256, file.created_s,
       file.expires_s}));
}

Result<void> Files::insert(const FileRow& file, const FileQuota& quota) const {
  return control_.connections().write(
      Durability::kPower, [&](Connection& connection) -> Result<void> {
        PARING_TRY(const std::int64_t used, bytes_of_tenant(connection, file.tenant));
        PARING_TRY(
            const std::int64_t files,
            connection.integer("SELECT count(*) FROM files WHERE tenant = ?1", {file.tenant}));
        if (files >= quota.files_max) {
          return exhausted(fmt::format("'{}' has {} files, that is the limit", file.tenant, files),
                           "delete files that are not needed");
        }
        if (used > quota.bytes_max - file.bytes) {
          return exhausted(fmt::format("the files of '{}' hold {} bytes, with {} more they would "
                                       "exceed their limit of {}",
                                       file.tenant, used, file.bytes, quota.bytes_max),
                           "delete files that are not needed");
        }
        return detail::insert_file(connection, file);
      });
}

Result<std::optional<FileRow>> Files::find(std::string_view tenant, std::string_view id) const {
  return control_.connections().read([&](Connection& connection) -> Result<std::optional<FileRow>> {
    PARING_TRY(std::vector<FileRow> rows,
               rows_of(connection.query("SELECT id, tenant, filename, purpose, bytes, sha256, "
                                        "created_s, expires_s FROM files "
                                        "WHERE id = ?2 AND tenant = ?1",
                                        {tenant, id})));
    if (rows.empty()) return std::optional<FileRow>();
    return std::optional<FileRow>(std::move(rows.front()));
  });
}

Result<Page<FileRow>> Files::list(std::string_view tenant, std::string_view purpose,
                                  const PageRequest& page) const {
  return control_.connections().read([&](Connection& connection) -> Result<Page<FileRow>> {
    // Rows of one second keep the order in which they came.
    std::int64_t row_id = page.oldest_first ? 0 : std::numeric_limits<std::int64_t>::max();
    if (!page.after.empty()) {
      PARING_TRY(Cursor row,
                 connection.query("SELECT rowid FROM files WHERE id = ?2 AND tenant = ?1",
                                  {tenant, page.after}));
      PARING_TRY(const bool is_found, row.next());
      if (!is_found) return not_found(fmt::format("there is no file '{}'", page.after));
      row_id = row.integer(0);
    }
    Page<FileRow> found;
    const detail::Values values = {tenant, purpose, row_id, page.limit + 1};
    if (page.oldest_first) {
      PARING_TRY(found.rows,
                 rows_of(connection.query(
                     "SELECT id, tenant, filename, purpose, bytes, sha256, created_s, expires_s "
                     "FROM files WHERE tenant = ?1 AND (?2 = '' OR purpose = ?2) AND rowid > ?3 "
                     "ORDER BY rowid LIMIT ?4",
                     values)));
    } else {
      PARING_TRY(found.rows,
                 rows_of(connection.query(
                     "SELECT id, tenant, filename, purpose, bytes, sha256, created_s, expires_s "
                     "FROM files WHERE tenant = ?1 AND (?2 = '' OR purpose = ?2) AND rowid < ?3 "
                     "ORDER BY rowid DESC LIMIT ?4",
                     values)));
    }
    found.has_more = static_cast<std::int64_t>(found.rows.size()) > page.limit;
    if (found.has_more) found.rows.pop_back();
    return found;
  });
}

Result<FileRow> Files::remove(std::string_view tenant, std::string_view id) const {
  return control_.connections().write(
      Durability::kPower, [&](Connection& connection) -> Result<FileRow> {
        PARING_TRY(std::vector<FileRow> rows,
                   rows_of(connection.query("SELECT id, tenant, filename, purpose, bytes, sha256, "
                                            "created_s, expires_s FROM files "
                                            "WHERE id = ?2 AND tenant = ?1",
                                            {tenant, id})));
        if (rows.empty()) return not_found(fmt::format("there is no file '{}'", id));
        PARING_TRY(const std::int64_t readers, open_batches_of(connection, id));
        if (readers > 0) {
          return invalid_argument(fmt::format("a batch that has not ended reads the file '{}'", id),
                                  "cancel the batch first");
        }
        PARING_TRY_VOID(remove_row(connection, id));
        return std::move(rows.front());
      });
}

Result<std::vector<FileRow>> Files::remove_expired(std::int64_t now_s) const {
  return control_.connections().write(
      Durability::kProcess, [&](Connection& connection) -> Result<std::vector<FileRow>> {
        PARING_TRY(
            std::vector<FileRow> rows,
            rows_of(connection.query(
                "SELECT id, tenant, filename, purpose, bytes, sha256, created_s, expires_s "
                "FROM files WHERE expires_s <= ?1 AND id NOT IN (SELECT input_file_id FROM batches "
                "WHERE state IN ('validating', 'in_progress', 'finalizing', 'cancelling'))",
                {now_s})));
        for (const FileRow& row : rows) PARING_TRY_VOID(remove_row(connection, row.id));
        return rows;
      });
}

Result<bool> Files::has_content(std::string_view sha256) const {
  PARING_TRY(const std::int64_t count, control_.connections().read([&](Connection& connection) {
    return connection.integer("SELECT count(*) FROM files WHERE sha256 = ?1", {sha256});
  }));
  return count > 0;
}

Result<std::int64_t> Files::bytes_of(std::string_view tenant) const {
  return control_.connections().read(
      [&](Connection& connection) { return bytes_of_tenant(connection, tenant); });
}

}  // namespace paring::store
