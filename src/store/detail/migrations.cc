// SPDX-License-Identifier: Apache-2.0
#include "store/detail/migrations.h"

#include <fmt/format.h>

namespace paring::store::detail {

namespace {

// Times are whole seconds since 1970-01-01 UTC (_s). STRICT tables refuse values of other types.
constexpr Migration kControlVersions[] = {
    {1, R"sql(
PRAGMA application_id = 1349676647;

CREATE TABLE keys(
  id TEXT PRIMARY KEY NOT NULL,
  tenant TEXT NOT NULL,
  name TEXT NOT NULL,
  lookup TEXT NOT NULL UNIQUE,           -- first letters of the key; the rest is only in the hash
  hash BLOB NOT NULL CHECK(length(hash) = 32),
  scopes TEXT NOT NULL,
  created_s INTEGER NOT NULL,
  expires_s INTEGER,
  revoked_s INTEGER,
  last_used_s INTEGER,
  requests_per_minute INTEGER CHECK(requests_per_minute > 0),
  tokens_per_minute INTEGER CHECK(tokens_per_minute > 0),
  concurrent_requests INTEGER CHECK(concurrent_requests > 0),
  weight INTEGER NOT NULL CHECK(weight > 0)
) STRICT;

CREATE TABLE budgets(
  key_id TEXT NOT NULL REFERENCES keys(id),
  period TEXT NOT NULL CHECK(period IN ('day', 'month', 'total')),
  tokens INTEGER NOT NULL CHECK(tokens >= 0),
  PRIMARY KEY(key_id, period)
) STRICT, WITHOUT ROWID;

-- What a key has used and set aside in a period that began at start_s.
CREATE TABLE spend(
  key_id TEXT NOT NULL REFERENCES keys(id),
  period TEXT NOT NULL CHECK(period IN ('day', 'month', 'total')),
  start_s INTEGER NOT NULL,
  reserved INTEGER NOT NULL CHECK(reserved >= 0),
  settled INTEGER NOT NULL CHECK(settled >= 0),
  PRIMARY KEY(key_id, period, start_s)
) STRICT, WITHOUT ROWID;

CREATE TABLE reservations(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  key_id TEXT NOT NULL REFERENCES keys(id),
  request_id TEXT NOT NULL,
  tokens INTEGER NOT NULL CHECK(tokens >= 0),
  charge_if_lost INTEGER NOT NULL CHECK(charge_if_lost BETWEEN 0 AND tokens),
  day_s INTEGER NOT NULL,
  month_s INTEGER NOT NULL
) STRICT;

CREATE TABLE ledger(
  id INTEGER PRIMARY KEY,
  reservation_id INTEGER NOT NULL UNIQUE,
  key_id TEXT NOT NULL REFERENCES keys(id),
  request_id TEXT NOT NULL,
  at_s INTEGER NOT NULL,
  day_s INTEGER NOT NULL,
  month_s INTEGER NOT NULL,
  tokens INTEGER NOT NULL CHECK(tokens >= 0),
  is_recovered INTEGER NOT NULL CHECK(is_recovered IN (0, 1))
) STRICT;
CREATE TRIGGER ledger_keeps_rows BEFORE DELETE ON ledger
  BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER ledger_keeps_values BEFORE UPDATE ON ledger
  BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;

CREATE TABLE audit(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  at_s INTEGER NOT NULL,
  actor TEXT NOT NULL,
  action TEXT NOT NULL,
  object TEXT NOT NULL,
  result TEXT NOT NULL,
  detail TEXT NOT NULL
) STRICT;
CREATE TRIGGER audit_keeps_rows BEFORE DELETE ON audit
  BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_keeps_values BEFORE UPDATE ON audit
  BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;

PRAGMA user_version = 1;
)sql"},
    {2, R"sql(
CREATE TABLE files(
  id TEXT PRIMARY KEY NOT NULL,
  tenant TEXT NOT NULL,
  filename TEXT NOT NULL,
  purpose TEXT NOT NULL,
  bytes INTEGER NOT NULL CHECK(bytes >= 0),
  sha256 TEXT NOT NULL CHECK(length(sha256) = 64),
  created_s INTEGER NOT NULL,
  expires_s INTEGER
) STRICT;
CREATE INDEX files_of_tenant ON files(tenant, created_s);
CREATE INDEX files_of_content ON files(sha256);

CREATE TABLE batches(
  id TEXT PRIMARY KEY NOT NULL,
  tenant TEXT NOT NULL,
  key_id TEXT NOT NULL,
  endpoint TEXT NOT NULL,
  input_file_id TEXT NOT NULL,
  completion_window TEXT NOT NULL,
  metadata TEXT,                          -- a JSON object
  state TEXT NOT NULL CHECK(state IN ('validating', 'failed', 'in_progress', 'finalizing',
                                      'completed', 'expired', 'cancelling', 'cancelled')),
  model TEXT,
  errors TEXT,                            -- a JSON array
  output_file_id TEXT,
  error_file_id TEXT,
  total INTEGER NOT NULL,
  completed INTEGER NOT NULL,
  failed INTEGER NOT NULL,
  input_tokens INTEGER NOT NULL,
  cached_tokens INTEGER NOT NULL,
  output_tokens INTEGER NOT NULL,
  reasoning_tokens INTEGER NOT NULL,
  created_s INTEGER NOT NULL,
  expires_s INTEGER NOT NULL,
  in_progress_s INTEGER,
  finalizing_s INTEGER,
  completed_s INTEGER,
  failed_s INTEGER,
  expired_s INTEGER,
  cancelling_s INTEGER,
  cancelled_s INTEGER
) STRICT;
CREATE INDEX batches_of_tenant ON batches(tenant, created_s);
CREATE INDEX batches_open ON batches(created_s)
  WHERE state IN ('validating', 'in_progress', 'finalizing', 'cancelling');

-- A line of the output or error file, kept here until the files are written. A line of the input
-- has one, whatever happens: the primary key says so.
CREATE TABLE batch_results(
  batch_id TEXT NOT NULL REFERENCES batches(id),
  line INTEGER NOT NULL CHECK(line > 0),
  is_failed INTEGER NOT NULL CHECK(is_failed IN (0, 1)),
  body TEXT NOT NULL,
  PRIMARY KEY(batch_id, line)
) STRICT;

CREATE TABLE settings(
  key TEXT PRIMARY KEY NOT NULL,
  value TEXT NOT NULL,
  changed_s INTEGER NOT NULL,
  changed_by TEXT NOT NULL
) STRICT, WITHOUT ROWID;

PRAGMA user_version = 2;
)sql"},
    {3, R"sql(
-- What somebody, or a rule, thought of an answer. Its subject may be unknown here, or come later.
CREATE TABLE scores(
  tenant TEXT NOT NULL,
  id TEXT NOT NULL,
  subject_kind TEXT NOT NULL CHECK(subject_kind IN ('response', 'span', 'trace', 'session')),
  subject_id TEXT NOT NULL,
  name TEXT NOT NULL,
  type TEXT NOT NULL CHECK(type IN ('numeric', 'boolean', 'categorical', 'text', 'correction',
                                    'preference')),
  number REAL,                            -- of numeric and boolean ones
  text TEXT,                              -- of the others
  comment TEXT NOT NULL,
  source TEXT NOT NULL CHECK(source IN ('user', 'annotator', 'judge', 'rule', 'implicit', 'api')),
  author TEXT NOT NULL,
  key_id TEXT NOT NULL,
  metadata TEXT,                          -- a JSON object
  created_s INTEGER NOT NULL,
  updated_s INTEGER NOT NULL,
  PRIMARY KEY(tenant, id),
  CHECK((number IS NULL) <> (text IS NULL))
) STRICT;
CREATE INDEX scores_of_subject ON scores(tenant, subject_kind, subject_id);

PRAGMA user_version = 3;
)sql"},
    {4, R"sql(
-- A change of how models are served, as it was advised: what was predicted is written before it is
-- tried, and what came of it is added.
CREATE TABLE advice(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  made_s INTEGER NOT NULL,
  made_by TEXT NOT NULL,
  model TEXT NOT NULL,
  variant_before TEXT NOT NULL,
  action TEXT NOT NULL,
  parameters TEXT NOT NULL,              -- a JSON object
  prediction TEXT NOT NULL,              -- a JSON array: metric, now, low, expected, high
  predicted_loss TEXT NOT NULL
) STRICT;
CREATE TRIGGER advice_keeps_rows BEFORE DELETE ON advice
  BEGIN SELECT RAISE(ABORT, 'the ledger of advice is append-only'); END;
CREATE TRIGGER advice_keeps_values BEFORE UPDATE ON advice
  BEGIN SELECT RAISE(ABORT, 'the ledger of advice is append-only'); END;

CREATE TABLE advice_events(
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  advice_id INTEGER NOT NULL REFERENCES advice(id),
  at_s INTEGER NOT NULL,
  kind TEXT NOT NULL CHECK(kind IN ('applied', 'measured', 'kept', 'rolled_back', 'inconclusive',
                                    'failed')),
  actor TEXT NOT NULL,
  detail TEXT NOT NULL,
  measured TEXT NOT NULL                 -- a JSON array: metric, before, after, low, high, n
) STRICT;
CREATE INDEX advice_events_of ON advice_events(advice_id);
-- It ends once.
CREATE UNIQUE INDEX advice_ends_once ON advice_events(advice_id)
  WHERE kind IN ('kept', 'rolled_back', 'inconclusive', 'failed');
CREATE TRIGGER advice_events_keep_rows BEFORE DELETE ON advice_events
  BEGIN SELECT RAISE(ABORT, 'the ledger of advice is append-only'); END;
CREATE TRIGGER advice_events_keep_values BEFORE UPDATE ON advice_events
  BEGIN SELECT RAISE(ABORT, 'the ledger of advice is append-only'); END;

PRAGMA user_version = 4;
)sql"},
};

// One file a day (store/traffic.h). Times are seconds since 1970-01-01 UTC.
constexpr Migration kTrafficVersions[] = {
    {1, R"sql(
PRAGMA application_id = 1349676660;

-- What requests are told apart by: a request names a row here instead of holding the texts, and
-- sums are kept by minute for each. Rows with is_total = 1 stand for all requests of a currency.
CREATE TABLE request_groups(
  id INTEGER PRIMARY KEY,
  is_total INTEGER NOT NULL CHECK(is_total IN (0, 1)),
  tenant TEXT NOT NULL,
  model TEXT NOT NULL,
  variant TEXT NOT NULL,
  key_id TEXT NOT NULL,
  route TEXT NOT NULL,
  status_class INTEGER NOT NULL,         -- 2, 4, 5, ...
  cache TEXT NOT NULL,
  currency TEXT NOT NULL,
  UNIQUE(is_total, tenant, model, variant, key_id, route, status_class, cache, currency)
) STRICT;

CREATE TABLE requests(
  seq INTEGER PRIMARY KEY,               -- in the order in which they were written
  group_id INTEGER NOT NULL REFERENCES request_groups(id),
  id TEXT NOT NULL,
  trace_id TEXT NOT NULL,
  span_id TEXT NOT NULL,
  parent_id TEXT NOT NULL,
  started_s REAL NOT NULL,
  status INTEGER NOT NULL,
  is_complete INTEGER NOT NULL CHECK(is_complete IN (0, 1)),
  ending TEXT NOT NULL,
  error_code TEXT NOT NULL,
  user TEXT NOT NULL,
  session TEXT NOT NULL,
  prompt_fresh INTEGER NOT NULL,
  prompt_cached INTEGER NOT NULL,
  answer_visible INTEGER NOT NULL,
  answer_reasoning INTEGER NOT NULL,
  drafted INTEGER NOT NULL,
  accepted INTEGER NOT NULL,
  queue_s REAL,
  prefill_s REAL,
  decode_s REAL,
  first_token_s REAL,
  total_s REAL,
  operations REAL NOT NULL,
  bytes_read REAL NOT NULL,
  joules REAL NOT NULL,
  joules_kind TEXT NOT NULL,
  hardware_cost REAL NOT NULL,
  energy_cost REAL NOT NULL,
  token_cost REAL NOT NULL,
  peak_pages INTEGER NOT NULL,
  preemptions INTEGER NOT NULL,
  gaps BLOB NOT NULL,                    -- store/token_gaps.h
  UNIQUE(id, started_s, span_id)
) STRICT;
-- total_s, so that slow requests are found without reading the others.
CREATE INDEX requests_by_time ON requests(started_s, total_s);
CREATE INDEX requests_by_group ON requests(group_id, started_s, total_s);

-- Apart from the rows, since it may have to go sooner.
CREATE TABLE contents(
  seq INTEGER PRIMARY KEY REFERENCES requests(seq),
  started_s REAL NOT NULL,
  prompt TEXT NOT NULL,
  answer TEXT NOT NULL
) STRICT;
CREATE INDEX contents_by_time ON contents(started_s);

-- Sums of the requests of a group that began in a minute.
CREATE TABLE minutes(
  id INTEGER PRIMARY KEY,                -- group * 2^32 + minutes since 1970: in order of time
  requests INTEGER NOT NULL,
  errors INTEGER NOT NULL,
  cancelled INTEGER NOT NULL,
  incomplete INTEGER NOT NULL,
  cached INTEGER NOT NULL,
  prompt_fresh INTEGER NOT NULL,
  prompt_cached INTEGER NOT NULL,
  answer_visible INTEGER NOT NULL,
  answer_reasoning INTEGER NOT NULL,
  drafted INTEGER NOT NULL,
  accepted INTEGER NOT NULL,
  preemptions INTEGER NOT NULL,
  queue_seconds REAL NOT NULL,
  prefill_seconds REAL NOT NULL,
  decode_seconds REAL NOT NULL,
  first_token_seconds REAL NOT NULL,
  total_seconds REAL NOT NULL,
  operations REAL NOT NULL,
  bytes_read REAL NOT NULL,
  joules_measured REAL NOT NULL,
  joules_estimated REAL NOT NULL,
  hardware_cost REAL NOT NULL,
  energy_cost REAL NOT NULL,
  token_cost REAL NOT NULL,
  first_token_sketch BLOB NOT NULL,      -- base/quantile_sketch.h
  total_sketch BLOB NOT NULL,
  gap_sketch BLOB NOT NULL
) STRICT;

PRAGMA user_version = 1;
)sql"},
    {2, R"sql(
-- End users (the field "user" of requests), so that sums by user need not read rows.
CREATE TABLE users(
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE
) STRICT;

-- Sums of the requests of a group that a user began in an hour.
CREATE TABLE user_hours(
  hour INTEGER NOT NULL,                 -- since 1970
  group_id INTEGER NOT NULL REFERENCES request_groups(id),
  user_id INTEGER NOT NULL REFERENCES users(id),
  requests INTEGER NOT NULL,
  errors INTEGER NOT NULL,
  prompt_fresh INTEGER NOT NULL,
  prompt_cached INTEGER NOT NULL,
  answer INTEGER NOT NULL,
  joules_measured REAL NOT NULL,
  joules_estimated REAL NOT NULL,
  hardware_cost REAL NOT NULL,
  energy_cost REAL NOT NULL,
  token_cost REAL NOT NULL,
  PRIMARY KEY(hour, group_id, user_id)
) STRICT, WITHOUT ROWID;

INSERT INTO users(name) SELECT DISTINCT user FROM requests WHERE user <> '' LIMIT 50000;
INSERT INTO users(name) VALUES('(other)') ON CONFLICT DO NOTHING;
INSERT INTO user_hours
  SELECT CAST(started_s / 3600 AS INTEGER) AS hour_of, group_id,
    ifnull((SELECT id FROM users WHERE name = user),
           (SELECT id FROM users WHERE name = '(other)')) AS id_of,
    count(*), sum(status >= 400 OR ending = 'error'), sum(prompt_fresh), sum(prompt_cached),
    sum(answer_visible + answer_reasoning), sum(iif(joules_kind = 'measured', joules, 0)),
    sum(iif(joules_kind = 'estimated', joules, 0)), sum(hardware_cost), sum(energy_cost),
    sum(token_cost)
  FROM requests WHERE user <> '' GROUP BY hour_of, group_id, id_of;

PRAGMA user_version = 2;
)sql"},
    {3, R"sql(
ALTER TABLE requests ADD COLUMN prompt_version TEXT NOT NULL DEFAULT '';
ALTER TABLE requests ADD COLUMN prefill_work_s REAL NOT NULL DEFAULT 0;
ALTER TABLE requests ADD COLUMN decode_work_s REAL NOT NULL DEFAULT 0;
ALTER TABLE requests ADD COLUMN prompt_key INTEGER NOT NULL DEFAULT 0;
ALTER TABLE requests ADD COLUMN is_repeatable INTEGER NOT NULL DEFAULT 0;
ALTER TABLE requests ADD COLUMN prompt_blocks BLOB NOT NULL DEFAULT x'';

-- Models as a server computed them in an hour.
CREATE TABLE engines(
  hour_s INTEGER NOT NULL,
  model TEXT NOT NULL,
  variant TEXT NOT NULL,
  loaded_s REAL NOT NULL,
  facts TEXT NOT NULL,                   -- JSON
  steps TEXT NOT NULL,                   -- JSON, engine/step_sums.h
  PRIMARY KEY(hour_s, model, variant, loaded_s)
) STRICT, WITHOUT ROWID;

PRAGMA user_version = 3;
)sql"},
};

constexpr Schema kControl{0x50726e67, kControlVersions};  // "Prng"
constexpr Schema kTraffic{0x50726e74, kTrafficVersions};  // "Prnt"

Result<void> apply(Connection& connection, const Schema& schema, std::int64_t from,
                   std::int64_t to) {
  for (const Migration& migration : schema.versions) {
    if (migration.version <= from || migration.version > to) continue;
    PARING_TRY_VOID(connection.script(migration.script));
    PARING_TRY(const std::int64_t now, connection.integer("PRAGMA user_version"));
    PARING_CHECK(now == migration.version, "a migration that does not end with its version");
  }
  return {};
}

Result<std::int64_t> version_of(Connection& connection, const Schema& schema) {
  PARING_TRY(const std::int64_t version, connection.integer("PRAGMA user_version"));
  PARING_TRY(const std::int64_t application, connection.integer("PRAGMA application_id"));
  PARING_TRY(const std::int64_t tables, connection.integer("SELECT count(*) FROM sqlite_schema"));
  const bool is_empty = version == 0 && application == 0 && tables == 0;
  if (!is_empty && (application != schema.application_id || version < 1)) {
    return corrupt(fmt::format("'{}' is a database of another program", connection.path()),
                   "choose another folder with --data-dir");
  }
  if (version > schema.latest()) {
    return unsupported(
        fmt::format("the database '{}' has version {}, this program knows up to version {}",
                    connection.path(), version, schema.latest()),
        "a newer paring has written it; use that one");
  }
  return version;
}

}  // namespace

const Schema& control_schema() noexcept { return kControl; }
const Schema& traffic_schema() noexcept { return kTraffic; }

Result<void> migrate(Connection& connection, const Schema& schema, std::int64_t version) {
  // In one transaction: between two statements another process may commit its migration, and then
  // what they tell does not fit together.
  PARING_TRY_VOID(connection.script("BEGIN"));
  const Result<std::int64_t> first = version_of(connection, schema);
  (void)connection.script("ROLLBACK");
  PARING_TRY(std::int64_t present, first);
  if (present >= version) return {};
  // IMMEDIATE: of two processes that open an old database one migrates, the other waits and finds
  // it done.
  PARING_TRY_VOID(connection.script("BEGIN IMMEDIATE"));
  const auto within = [&]() -> Result<void> {
    PARING_TRY(present, version_of(connection, schema));
    PARING_TRY_VOID(apply(connection, schema, present, version));
    return connection.script("COMMIT");
  };
  const Result<void> done = within();
  if (!done) (void)connection.script("ROLLBACK");
  return done;
}

}  // namespace paring::store::detail
