// SPDX-License-Identifier: Apache-2.0
#include "store/advice_ledger.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "store/detail/connections.h"

namespace paring::store {

namespace {

using detail::Connection;
using detail::Cursor;
using detail::Durability;

constexpr std::size_t kShownMax = 64;

bool is_end(std::string_view kind) { return kind != "applied" && kind != "measured"; }

// Not by the table: SQLite takes no function of JSON in a schema that it does not trust.
Result<void> check_json(Connection& connection, std::string_view text, std::string_view type) {
  PARING_TRY(const std::int64_t is_right,
             connection.integer("SELECT iif(json_valid(?1), json_type(?1) = ?2, 0)", {text, type}));
  if (is_right == 1) return {};
  return invalid_argument(fmt::format("'{}' is no JSON {}", text.substr(0, kShownMax), type));
}

AdviceRow row_of(const Cursor& row) {
  return {.id = row.integer(0),
          .made_s = row.integer(1),
          .made_by = row.text(2),
          .model = row.text(3),
          .variant_before = row.text(4),
          .action = row.text(5),
          .parameters = row.text(6),
          .prediction = row.text(7),
          .predicted_loss = row.text(8)};
}

AdviceEvent event_of(const Cursor& row) {
  return {.at_s = row.integer(0),
          .kind = row.text(1),
          .actor = row.text(2),
          .detail = row.text(3),
          .measured = row.text(4)};
}

Result<std::vector<AdviceRow>> with_events(Connection& connection, Result<Cursor> found) {
  PARING_TRY(std::vector<AdviceRow> rows, detail::collect<AdviceRow>(std::move(found), row_of));
  for (AdviceRow& row : rows) {
    PARING_TRY(row.events, detail::collect<AdviceEvent>(
                               connection.query("SELECT at_s, kind, actor, detail, measured "
                                                "FROM advice_events WHERE advice_id = ?1 "
                                                "ORDER BY id",
                                                {row.id}),
                               event_of));
  }
  return rows;
}

}  // namespace

std::string AdviceRow::verdict() const {
  const auto end = std::find_if(events.begin(), events.end(),
                                [](const AdviceEvent& event) { return is_end(event.kind); });
  return end == events.end() ? "" : end->kind;
}

Result<std::int64_t> AdviceLedger::append(const AdviceRow& row) const {
  return control_.connections().write(
      Durability::kPower, [&](Connection& connection) -> Result<std::int64_t> {
        PARING_TRY_VOID(check_json(connection, row.parameters, "object"));
        PARING_TRY_VOID(check_json(connection, row.prediction, "array"));
        PARING_TRY_VOID(detail::as_void(connection.execute(
            "INSERT INTO advice(made_s, made_by, model, variant_before, action, parameters, "
            "prediction, predicted_loss) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            {row.made_s, row.made_by, row.model, row.variant_before, row.action, row.parameters,
             row.prediction, row.predicted_loss})));
        return connection.last_row_id();
      });
}

Result<void> AdviceLedger::add_event(std::int64_t advice, const AdviceEvent& event) const {
  if (std::find(kAdviceEvents.begin(), kAdviceEvents.end(), event.kind) == kAdviceEvents.end()) {
    return invalid_argument(fmt::format("'{}' is nothing that happens to advice", event.kind));
  }
  return control_.connections().write(
      Durability::kPower, [&](Connection& connection) -> Result<void> {
        PARING_TRY_VOID(check_json(connection, event.measured, "array"));
        PARING_TRY(const std::int64_t known,
                   connection.integer("SELECT count(*) FROM advice WHERE id = ?1", {advice}));
        if (known == 0) return invalid_argument(fmt::format("there is no advice {}", advice));
        PARING_TRY(const std::int64_t ended,
                   connection.integer("SELECT count(*) FROM advice_events WHERE advice_id = ?1 "
                                      "AND kind NOT IN ('applied', 'measured')",
                                      {advice}));
        if (ended > 0) return invalid_argument(fmt::format("advice {} has ended", advice));
        return detail::as_void(connection.execute(
            "INSERT INTO advice_events(advice_id, at_s, kind, actor, detail, measured) "
            "VALUES(?1, ?2, ?3, ?4, ?5, ?6)",
            {advice, event.at_s, event.kind, event.actor, event.detail, event.measured}));
      });
}

Result<std::optional<AdviceRow>> AdviceLedger::find(std::int64_t id) const {
  return control_.connections().read(
      [&](Connection& connection) -> Result<std::optional<AdviceRow>> {
        PARING_TRY(std::vector<AdviceRow> rows,
                   with_events(connection,
                               connection.query("SELECT id, made_s, made_by, model, "
                                                "variant_before, action, parameters, prediction, "
                                                "predicted_loss FROM advice WHERE id = ?1",
                                                {id})));
        if (rows.empty()) return std::optional<AdviceRow>();
        return std::optional<AdviceRow>(std::move(rows.front()));
      });
}

Result<std::vector<AdviceRow>> AdviceLedger::list(std::int64_t before, std::int64_t limit) const {
  const std::int64_t end = before > 0 ? before : std::numeric_limits<std::int64_t>::max();
  return control_.connections().read([&](Connection& connection) {
    return with_events(
        connection,
        connection.query("SELECT id, made_s, made_by, model, variant_before, action, parameters, "
                         "prediction, predicted_loss FROM advice WHERE id < ?1 "
                         "ORDER BY id DESC LIMIT ?2",
                         {end, limit}));
  });
}

Result<std::vector<AdviceRow>> AdviceLedger::open_ones() const {
  return control_.connections().read([&](Connection& connection) {
    return with_events(
        connection,
        connection.query("SELECT id, made_s, made_by, model, variant_before, action, parameters, "
                         "prediction, predicted_loss FROM advice AS a WHERE NOT EXISTS("
                         "SELECT 1 FROM advice_events WHERE advice_id = a.id AND kind NOT IN "
                         "('applied', 'measured')) ORDER BY id"));
  });
}

Result<std::vector<AdviceResidual>> AdviceLedger::residuals(std::string_view action,
                                                            std::int64_t limit) const {
  return control_.connections().read(
      [&](Connection& connection) -> Result<std::vector<AdviceResidual>> {
        return detail::collect<AdviceResidual>(connection.query(R"sql(
WITH pairs AS (
  SELECT a.id AS id, a.action AS action, p.value ->> 'metric' AS metric,
    CAST(p.value ->> 'now' AS REAL) AS now, CAST(p.value ->> 'expected' AS REAL) AS expected,
    CAST(m.value ->> 'before' AS REAL) AS before, CAST(m.value ->> 'after' AS REAL) AS after
  FROM advice AS a JOIN advice_events AS e ON e.advice_id = a.id AND e.kind = 'measured',
    json_each(a.prediction) AS p, json_each(e.measured) AS m
  WHERE p.value ->> 'metric' = m.value ->> 'metric' AND (?1 = '' OR a.action = ?1))
SELECT id, action, metric, (after / before) / (expected / now) - 1 FROM pairs
WHERE now > 0 AND expected > 0 AND before > 0 ORDER BY id DESC, metric LIMIT ?2)sql",
                                                                {action, limit}),
                                               [](const Cursor& row) {
                                                 return AdviceResidual{.advice_id = row.integer(0),
                                                                       .action = row.text(1),
                                                                       .metric = row.text(2),
                                                                       .value = row.real(3)};
                                               });
      });
}

}  // namespace paring::store
