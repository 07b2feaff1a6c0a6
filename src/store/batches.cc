// SPDX-License-Identifier: Apache-2.0
#include "store/batches.h"

#include <fmt/format.h>

#include <limits>

#include "store/detail/connections.h"
#include "store/detail/file_rows.h"

namespace paring::store {

namespace {

using detail::Connection;
using detail::Cursor;
using detail::Durability;

constexpr const char* kStateNames[] = {
#define PARING_X(name, text) text,
    PARING_BATCH_STATES(PARING_X)
#undef PARING_X
};

Result<BatchState> state_of(const std::string& name) {
  std::uint8_t state = 0;
  for (const char* each : kStateNames) {
    if (name == each) return static_cast<BatchState>(state);
    ++state;
  }
  return corrupt(fmt::format("'{}' is no state of a batch", name));
}

// The columns of the view of a batch, in the order in which row_of() reads them.
Result<BatchRow> row_of(const Cursor& row) {
  BatchRow batch;
  batch.id = row.text(0);
  batch.tenant = row.text(1);
  batch.key_id = row.text(2);
  batch.endpoint = row.text(3);
  batch.input_file_id = row.text(4);
  batch.completion_window = row.text(5);
  batch.metadata = row.optional_text(6);
  PARING_TRY(batch.state, state_of(row.text(7)));
  batch.model = row.optional_text(8);
  batch.errors = row.optional_text(9);
  batch.output_file_id = row.optional_text(10);
  batch.error_file_id = row.optional_text(11);
  batch.total = row.integer(12);
  batch.completed = row.integer(13);
  batch.failed = row.integer(14);
  batch.usage = {row.integer(15), row.integer(16), row.integer(17), row.integer(18)};
  batch.created_s = row.integer(19);
  batch.expires_s = row.integer(20);
  batch.in_progress_s = row.optional_integer(21);
  batch.finalizing_s = row.optional_integer(22);
  batch.completed_s = row.optional_integer(23);
  batch.failed_s = row.optional_integer(24);
  batch.expired_s = row.optional_integer(25);
  batch.cancelling_s = row.optional_integer(26);
  batch.cancelled_s = row.optional_integer(27);
  return batch;
}

Result<std::vector<BatchRow>> rows_of(Result<Cursor> rows) {
  return detail::collect<BatchRow>(std::move(rows), row_of);
}

// SELECT * gives the columns in the order of the migration, which row_of() follows; a column that
// is added later comes after them.
Result<std::optional<BatchRow>> find_row(Connection& connection, std::string_view tenant,
                                         std::string_view id) {
  PARING_TRY(std::vector<BatchRow> rows,
             rows_of(connection.query("SELECT * FROM batches WHERE id = ?2 AND tenant = ?1",
                                      {tenant, id})));
  if (rows.empty()) return std::optional<BatchRow>();
  return std::optional<BatchRow>(std::move(rows.front()));
}

// One statement that changes the state of one batch.
Result<bool> step(const ControlDb& control, detail::Sql sql, detail::Values values) {
  return control.connections().write(
      Durability::kPower, [&](Connection& connection) -> Result<bool> {
        PARING_TRY(const std::int64_t changed, connection.execute(sql, values));
        return changed == 1;
      });
}

}  // namespace

const char* batch_state_name(BatchState state) noexcept {
  return kStateNames[static_cast<std::size_t>(state)];
}

Result<void> Batches::insert(const BatchRow& batch, std::int64_t open_max) const {
  return control_.connections().write(
      Durability::kPower, [&](Connection& connection) -> Result<void> {
        PARING_TRY(
            const std::int64_t open,
            connection.integer("SELECT count(*) FROM batches WHERE tenant = ?1 AND "
                               "state IN ('validating', 'in_progress', 'finalizing', 'cancelling')",
                               {batch.tenant}));
        if (open >= open_max) {
          return exhausted(fmt::format("{} batches of '{}' have not ended, the limit is {}", open,
                                       batch.tenant, open_max),
                           "wait for one to end, or cancel one");
        }
        return detail::as_void(connection.execute(
            "INSERT INTO batches(id, tenant, key_id, endpoint, input_file_id, completion_window, "
            "metadata, state, total, completed, failed, input_tokens, cached_tokens, "
            "output_tokens, reasoning_tokens, created_s, expires_s) "
            "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, 'validating', 0, 0, 0, 0, 0, 0, 0, ?8, ?9)",
            {batch.id, batch.tenant, batch.key_id, batch.endpoint, batch.input_file_id,
             batch.completion_window, batch.metadata, batch.created_s, batch.expires_s}));
      });
}

Result<std::optional<BatchRow>> Batches::find(std::string_view tenant, std::string_view id) const {
  return control_.connections().read(
      [&](Connection& connection) { return find_row(connection, tenant, id); });
}

Result<Page<BatchRow>> Batches::list(std::string_view tenant, const PageRequest& page) const {
  return control_.connections().read([&](Connection& connection) -> Result<Page<BatchRow>> {
    std::int64_t before = std::numeric_limits<std::int64_t>::max();
    if (!page.after.empty()) {
      PARING_TRY(Cursor row,
                 connection.query("SELECT rowid FROM batches WHERE id = ?2 AND tenant = ?1",
                                  {tenant, page.after}));
      PARING_TRY(const bool is_found, row.next());
      if (!is_found) return not_found(fmt::format("there is no batch '{}'", page.after));
      before = row.integer(0);
    }
    Page<BatchRow> found;
    PARING_TRY(found.rows,
               rows_of(connection.query("SELECT * FROM batches WHERE tenant = ?1 AND rowid < ?2 "
                                        "ORDER BY rowid DESC LIMIT ?3",
                                        {tenant, before, page.limit + 1})));
    found.has_more = static_cast<std::int64_t>(found.rows.size()) > page.limit;
    if (found.has_more) found.rows.pop_back();
    return found;
  });
}

Result<std::vector<BatchRow>> Batches::open(std::int64_t of_tenant, std::int64_t limit) const {
  return control_.connections().read([&](Connection& connection) {
    return rows_of(connection.query(
        "SELECT * FROM (SELECT *, ROW_NUMBER() OVER "
        "(PARTITION BY tenant ORDER BY created_s, rowid) AS place FROM batches "
        "WHERE state IN ('validating', 'in_progress', 'finalizing', 'cancelling')) "
        "WHERE place <= ?1 ORDER BY place, created_s, id LIMIT ?2",
        {of_tenant, limit}));
  });
}

Result<bool> Batches::start(std::string_view id, std::int64_t total, std::string_view model,
                            std::int64_t now_s) const {
  return step(control_,
              "UPDATE batches SET state = 'in_progress', in_progress_s = ?2, total = ?3, "
              "model = ?4 WHERE id = ?1 AND state = 'validating'",
              {id, now_s, total, model});
}

Result<bool> Batches::fail(std::string_view id, std::string_view errors, std::int64_t now_s) const {
  return step(control_,
              "UPDATE batches SET state = 'failed', failed_s = ?2, errors = ?3 "
              "WHERE id = ?1 AND state = 'validating'",
              {id, now_s, errors});
}

Result<bool> Batches::begin_finalizing(std::string_view id, std::int64_t now_s) const {
  return step(control_,
              "UPDATE batches SET state = 'finalizing', finalizing_s = ?2 "
              "WHERE id = ?1 AND state = 'in_progress'",
              {id, now_s});
}

Result<bool> Batches::cancel(std::string_view tenant, std::string_view id,
                             std::int64_t now_s) const {
  return control_.connections().write(
      Durability::kPower, [&](Connection& connection) -> Result<bool> {
        PARING_TRY(const std::optional<BatchRow> batch, find_row(connection, tenant, id));
        if (!batch) return not_found(fmt::format("there is no batch '{}'", id));
        PARING_TRY(const std::int64_t changed,
                   connection.execute("UPDATE batches SET state = 'cancelling', cancelling_s = ?2 "
                                      "WHERE id = ?1 AND state IN ('validating', 'in_progress')",
                                      {id, now_s}));
        return changed == 1;
      });
}

Result<std::int64_t> Batches::add_results(std::string_view id,
                                          const std::vector<BatchResult>& results) const {
  return control_.connections().write(
      Durability::kProcess, [&](Connection& connection) -> Result<std::int64_t> {
        std::int64_t added = 0;
        for (const BatchResult& result : results) {
          PARING_TRY(
              const std::int64_t is_new,
              connection.execute("INSERT INTO batch_results(batch_id, line, is_failed, body) "
                                 "VALUES(?1, ?2, ?3, ?4) ON CONFLICT(batch_id, line) DO NOTHING",
                                 {id, result.line, result.is_failed ? 1 : 0, result.body}));
          if (is_new == 0) continue;
          ++added;
          PARING_TRY_VOID(detail::as_void(connection.execute(
              "UPDATE batches SET completed = completed + ?2, failed = failed + ?3, "
              "input_tokens = input_tokens + ?4, cached_tokens = cached_tokens + ?5, "
              "output_tokens = output_tokens + ?6, reasoning_tokens = reasoning_tokens + ?7 "
              "WHERE id = ?1",
              {id, result.is_failed ? 0 : 1, result.is_failed ? 1 : 0, result.usage.input_tokens,
               result.usage.cached_tokens, result.usage.output_tokens,
               result.usage.reasoning_tokens})));
        }
        return added;
      });
}

Result<std::vector<BatchResult>> Batches::results(std::string_view id, std::int64_t after,
                                                  std::int64_t limit) const {
  return control_.connections().read(
      [&](Connection& connection) -> Result<std::vector<BatchResult>> {
        PARING_TRY(Cursor row,
                   connection.query("SELECT line, is_failed, body FROM batch_results "
                                    "WHERE batch_id = ?1 AND line > ?2 ORDER BY line LIMIT ?3",
                                    {id, after, limit}));
        std::vector<BatchResult> found;
        PARING_TRY(bool has_row, row.next());
        while (has_row) {
          found.push_back({row.integer(0), row.integer(1) != 0, row.text(2), {}});
          PARING_TRY(has_row, row.next());
        }
        return found;
      });
}

Result<std::vector<std::int64_t>> Batches::answered(std::string_view id) const {
  return control_.connections().read(
      [&](Connection& connection) -> Result<std::vector<std::int64_t>> {
        PARING_TRY(Cursor row, connection.query("SELECT line FROM batch_results "
                                                "WHERE batch_id = ?1 ORDER BY line",
                                                {id}));
        std::vector<std::int64_t> lines;
        PARING_TRY(bool has_row, row.next());
        while (has_row) {
          lines.push_back(row.integer(0));
          PARING_TRY(has_row, row.next());
        }
        return lines;
      });
}

Result<bool> Batches::finish(std::string_view id, const Ending& ending, std::int64_t now_s) const {
  return control_.connections().write(
      Durability::kPower, [&](Connection& connection) -> Result<bool> {
        const auto id_of = [](const std::optional<FileRow>& file) {
          return file ? std::optional<std::string>(file->id) : std::nullopt;
        };
        PARING_TRY(
            const std::int64_t changed,
            connection.execute(
                "UPDATE batches SET state = ?2, "
                "completed_s = iif(?2 = 'completed', ?3, completed_s), "
                "expired_s = iif(?2 = 'expired', ?3, expired_s), "
                "cancelled_s = iif(?2 = 'cancelled', ?3, cancelled_s), "
                "output_file_id = ?4, error_file_id = ?5, failed = failed + ?6 "
                "WHERE id = ?1 AND state = iif(?2 = 'cancelled', 'cancelling', 'finalizing')",
                {id, batch_state_name(ending.state), now_s, id_of(ending.output),
                 id_of(ending.errors), ending.unanswered}));
        if (changed == 0) return false;
        if (ending.output) PARING_TRY_VOID(detail::insert_file(connection, *ending.output));
        if (ending.errors) PARING_TRY_VOID(detail::insert_file(connection, *ending.errors));
        PARING_TRY_VOID(detail::as_void(
            connection.execute("DELETE FROM batch_results WHERE batch_id = ?1", {id})));
        return true;
      });
}

}  // namespace paring::store
