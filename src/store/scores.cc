// SPDX-License-Identifier: Apache-2.0
#include "store/scores.h"

#include <fmt/format.h>

#include <limits>
#include <map>
#include <string>

#include "store/detail/connections.h"

namespace paring::store {

namespace {

using detail::Connection;
using detail::Cursor;
using detail::Durability;

// In the order of the table.
#define PARING_SCORE_COLUMNS                                                                 \
  "SELECT tenant, id, subject_kind, subject_id, name, type, number, text, comment, source, " \
  "author, key_id, metadata, created_s, updated_s FROM scores "

// REQUIRES: those columns.
ScoreRow row_of(const Cursor& row) {
  return {.tenant = row.text(0),
          .id = row.text(1),
          .subject_kind = row.text(2),
          .subject_id = row.text(3),
          .name = row.text(4),
          .type = row.text(5),
          .number = row.optional_real(6),
          .text = row.optional_text(7),
          .comment = row.text(8),
          .source = row.text(9),
          .author = row.text(10),
          .key_id = row.text(11),
          .metadata = row.optional_text(12),
          .created_s = row.integer(13),
          .updated_s = row.integer(14)};
}

Result<std::vector<ScoreRow>> rows_of(Result<Cursor> rows) {
  return detail::collect<ScoreRow>(std::move(rows), row_of);
}

Result<std::optional<ScoreRow>> find_in(Connection& connection, std::string_view tenant,
                                        std::string_view id) {
  PARING_TRY(std::vector<ScoreRow> rows,
             rows_of(connection.query(PARING_SCORE_COLUMNS "WHERE tenant = ?1 AND id = ?2",
                                      {tenant, id})));
  if (rows.empty()) return std::optional<ScoreRow>();
  return std::optional<ScoreRow>(std::move(rows.front()));
}

// How many scores tenants have, counted once for all that one transaction puts: counting reads
// them.
class Counts {
 public:
  explicit Counts(std::int64_t scores_max) : scores_max_(scores_max) {}
  // One more. Exhausted when that is too many.
  Result<void> add(Connection& connection, const std::string& tenant) {
    auto found = counts_.find(tenant);
    if (found == counts_.end()) {
      PARING_TRY(const std::int64_t count,
                 connection.integer("SELECT count(*) FROM scores WHERE tenant = ?1", {tenant}));
      found = counts_.emplace(tenant, count).first;
    }
    if (found->second >= scores_max_) {
      return exhausted(fmt::format("'{}' has {} scores, that is the limit", tenant, found->second),
                       "delete scores that are not needed");
    }
    ++found->second;
    return {};
  }

 private:
  const std::int64_t scores_max_;
  std::map<std::string, std::int64_t> counts_;
};

Result<ScoreRow> put_in(Connection& connection, const ScoreRow& score, Counts& counts) {
  PARING_TRY(const std::optional<ScoreRow> before, find_in(connection, score.tenant, score.id));
  if (!before) PARING_TRY_VOID(counts.add(connection, score.tenant));
  ScoreRow now = score;
  if (before) now.created_s = before->created_s;
  PARING_TRY_VOID(detail::as_void(connection.execute(
      "INSERT INTO scores(tenant, id, subject_kind, subject_id, name, type, number, text, "
      "comment, source, author, key_id, metadata, created_s, updated_s) "
      "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15) "
      "ON CONFLICT(tenant, id) DO UPDATE SET subject_kind = ?3, subject_id = ?4, name = ?5, "
      "type = ?6, number = ?7, text = ?8, comment = ?9, source = ?10, author = ?11, "
      "key_id = ?12, metadata = ?13, updated_s = ?15",
      {now.tenant, now.id, now.subject_kind, now.subject_id, now.name, now.type, now.number,
       now.text, now.comment, now.source, now.author, now.key_id, now.metadata, now.created_s,
       now.updated_s})));
  return now;
}

#define PARING_SCORE_SUBJECT                                         \
  "WHERE tenant = ?1 AND subject_kind = ?2 AND subject_id = ?3 AND " \
  "(?4 = '' OR name = ?4) AND "
#define PARING_SCORE_ANY                                                                   \
  "WHERE tenant = ?1 AND (?2 = '' OR subject_kind = ?2) AND (?3 = '' OR subject_id = ?3) " \
  "AND (?4 = '' OR name = ?4) AND "
#define PARING_SCORE_OLDEST "rowid > ?5 ORDER BY rowid LIMIT ?6"
#define PARING_SCORE_NEWEST "rowid < ?5 ORDER BY rowid DESC LIMIT ?6"

Result<Cursor> of_subject(Connection& connection, const detail::Values& values, bool oldest_first) {
  if (oldest_first) {
    return connection.query(PARING_SCORE_COLUMNS PARING_SCORE_SUBJECT PARING_SCORE_OLDEST, values);
  }
  return connection.query(PARING_SCORE_COLUMNS PARING_SCORE_SUBJECT PARING_SCORE_NEWEST, values);
}

Result<Cursor> of_all(Connection& connection, const detail::Values& values, bool oldest_first) {
  if (oldest_first) {
    return connection.query(PARING_SCORE_COLUMNS PARING_SCORE_ANY PARING_SCORE_OLDEST, values);
  }
  return connection.query(PARING_SCORE_COLUMNS PARING_SCORE_ANY PARING_SCORE_NEWEST, values);
}

}  // namespace

Result<ScoreRow> Scores::put(const ScoreRow& score, std::int64_t scores_max) const {
  return control_.connections().write(Durability::kPower,
                                      [&](Connection& connection) -> Result<ScoreRow> {
                                        Counts counts(scores_max);
                                        return put_in(connection, score, counts);
                                      });
}

Result<void> Scores::put_all(std::span<const ScoreRow> scores, std::int64_t scores_max) const {
  return control_.connections().write(
      Durability::kPower, [&](Connection& connection) -> Result<void> {
        Counts counts(scores_max);
        for (const ScoreRow& score : scores) {
          const Result<ScoreRow> done = put_in(connection, score, counts);
          if (!done) return done.error();
        }
        return {};
      });
}

Result<std::optional<ScoreRow>> Scores::find(std::string_view tenant, std::string_view id) const {
  return control_.connections().read(
      [&](Connection& connection) { return find_in(connection, tenant, id); });
}

Result<Page<ScoreRow>> Scores::list(std::string_view tenant, const ScoreFilter& filter,
                                    const PageRequest& page) const {
  return control_.connections().read([&](Connection& connection) -> Result<Page<ScoreRow>> {
    std::int64_t row_id = page.oldest_first ? 0 : std::numeric_limits<std::int64_t>::max();
    if (!page.after.empty()) {
      PARING_TRY(Cursor row,
                 connection.query("SELECT rowid FROM scores WHERE tenant = ?1 AND id = ?2",
                                  {tenant, page.after}));
      PARING_TRY(const bool is_found, row.next());
      if (!is_found) return not_found(fmt::format("there is no score '{}'", page.after));
      row_id = row.integer(0);
    }
    const detail::Values values = {tenant, filter.subject_kind, filter.subject_id, filter.name,
                                   row_id, page.limit + 1};
    Page<ScoreRow> found;
    // A subject is found by its index. It would not be used were the subject's condition one of
    // two.
    const bool has_subject = !filter.subject_kind.empty() && !filter.subject_id.empty();
    PARING_TRY(found.rows, rows_of(has_subject ? of_subject(connection, values, page.oldest_first)
                                               : of_all(connection, values, page.oldest_first)));
    found.has_more = static_cast<std::int64_t>(found.rows.size()) > page.limit;
    if (found.has_more) found.rows.pop_back();
    return found;
  });
}

Result<std::vector<ScoreSum>> Scores::sums(std::int64_t limit) const {
  return control_.connections().read([&](Connection& connection) -> Result<std::vector<ScoreSum>> {
    return detail::collect<ScoreSum>(
        connection.query("SELECT name, source, count(*), avg(number) FROM scores "
                         "GROUP BY name, source ORDER BY count(*) DESC, name, source LIMIT ?1",
                         {limit}),
        [](const Cursor& row) {
          return ScoreSum{.name = row.text(0),
                          .source = row.text(1),
                          .count = row.integer(2),
                          .mean = row.optional_real(3)};
        });
  });
}

Result<std::vector<std::string>> Scores::long_scales(std::string_view tenant) const {
  return control_.connections().read(
      [&](Connection& connection) -> Result<std::vector<std::string>> {
        return detail::collect<std::string>(
            connection.query("SELECT DISTINCT name FROM scores WHERE tenant = ?1 AND "
                             "(number < 0 OR number > 1) ORDER BY name",
                             {tenant}),
            [](const Cursor& row) { return row.text(0); });
      });
}

Result<void> Scores::remove(std::string_view tenant, std::string_view id) const {
  return control_.connections().write(
      Durability::kPower, [&](Connection& connection) -> Result<void> {
        PARING_TRY(
            const std::int64_t rows,
            connection.execute("DELETE FROM scores WHERE tenant = ?1 AND id = ?2", {tenant, id}));
        if (rows == 0) return not_found(fmt::format("there is no score '{}'", id));
        return {};
      });
}

}  // namespace paring::store
