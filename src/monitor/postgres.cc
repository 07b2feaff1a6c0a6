// SPDX-License-Identifier: Apache-2.0
#include "monitor/postgres.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <charconv>
#include <string_view>
#include <utility>

#include "base/redact.h"
#include "base/text.h"
#include "monitor/traffic_columns.h"

namespace paring::monitor {

// What is used of libpq, whose ABI has been the same since PostgreSQL 8 (2005).
struct PostgresLibrary {
  void* (*connect)(const char* const* keywords, const char* const* values, int expands);
  int (*status)(const void* connection);
  char* (*error)(const void* connection);
  void (*finish)(void* connection);
  void* (*exec)(void* connection, const char* sql);
  int (*result_status)(const void* result);
  int (*rows)(const void* result);
  char* (*value)(const void* result, int row, int column);
  char* (*affected)(void* result);
  void (*clear)(void* result);
  int (*put_copy_data)(void* connection, const char* bytes, int size);
  int (*put_copy_end)(void* connection, const char* error);
  void* (*get_result)(void* connection);
};

namespace {

constexpr const char* kName = "libpq.so.5";
constexpr int kConnectionOk = 0;
constexpr int kCommandOk = 1;
constexpr int kTuplesOk = 2;
constexpr int kCopyIn = 4;
constexpr const char* kConnectSeconds = "10";

Error missing() {
  const char* why = ::dlerror();
  return Error{ErrorCode::kUnavailable,
               fmt::format("PostgreSQL's library {} cannot be used: {}", kName,
                           why == nullptr ? "no reason is given" : why),
               "install it (Debian: apt-get install libpq5), or export to a file"};
}

template <typename Function>
bool find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(::dlsym(library, name));
  return function != nullptr;
}

Result<const PostgresLibrary*> load() {
  static PostgresLibrary pq;
  // Never closed, as it may hold handlers for the end of the program.
  void* library = ::dlopen(kName, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return missing();
  const bool is_whole =
      find(library, "PQconnectdbParams", pq.connect) && find(library, "PQstatus", pq.status) &&
      find(library, "PQerrorMessage", pq.error) && find(library, "PQfinish", pq.finish) &&
      find(library, "PQexec", pq.exec) && find(library, "PQresultStatus", pq.result_status) &&
      find(library, "PQntuples", pq.rows) && find(library, "PQgetvalue", pq.value) &&
      find(library, "PQcmdTuples", pq.affected) && find(library, "PQclear", pq.clear) &&
      find(library, "PQputCopyData", pq.put_copy_data) &&
      find(library, "PQputCopyEnd", pq.put_copy_end) && find(library, "PQgetResult", pq.get_result);
  if (!is_whole) return missing();
  return &pq;
}

// A result of libpq, which is cleared at the end of its scope.
class Answer {
 public:
  Answer(const PostgresLibrary& library, void* result) : library_(library), result_(result) {}
  ~Answer() { library_.clear(result_); }
  Answer(const Answer&) = delete;
  Answer& operator=(const Answer&) = delete;
  int status() const { return library_.result_status(result_); }
  void* get() const { return result_; }

 private:
  const PostgresLibrary& library_;
  void* result_;
};

const char* type_of(ColumnKind kind) {
  switch (kind) {
    case ColumnKind::kInteger:
      return "bigint";
    case ColumnKind::kReal:
      return "double precision";
    case ColumnKind::kBoolean:
      return "boolean";
    case ColumnKind::kTime:
      return "timestamptz";
    case ColumnKind::kNumbers:
      return "bigint[]";
    case ColumnKind::kText:
    case ColumnKind::kJson:
      return "text";
  }
  return "text";
}

// Columns that came after version 1, which tables of that version get.
constexpr const char* kToVersion2 =
    "ALTER TABLE paring.requests ADD COLUMN prompt_version text, "
    "ADD COLUMN prefill_work_seconds double precision, "
    "ADD COLUMN decode_work_seconds double precision;"
    "UPDATE paring.schema_version SET version = 2";

// Of the present version.
std::string tables() {
  std::string columns;
  for (const TrafficColumn& column : traffic_columns(true)) {
    columns += fmt::format("{} {}, ", column.name, type_of(column.kind));
  }
  return fmt::format(
      "CREATE TABLE paring.requests({}PRIMARY KEY (id, started_s, span_id));"
      "CREATE INDEX requests_by_time ON paring.requests(started_at);"
      "INSERT INTO paring.schema_version(version) VALUES ({})",
      columns, PostgresTraffic::kSchemaVersion);
}

std::string column_names() {
  std::string names;
  for (const TrafficColumn& column : traffic_columns(true)) {
    names += fmt::format("{}{}", names.empty() ? "" : ", ", column.name);
  }
  return names;
}

}  // namespace

PostgresTraffic::PostgresTraffic(const PostgresLibrary& library, void* connection)
    : library_(library), connection_(connection) {}

PostgresTraffic::~PostgresTraffic() { library_.finish(connection_); }

Result<std::unique_ptr<PostgresTraffic>> PostgresTraffic::connect(const std::string& where) {
  PARING_TRY(const PostgresLibrary* const library, load());
  // What stands behind `dbname` holds whatever the operator says.
  const char* const keywords[] = {"application_name", "connect_timeout", "dbname",
                                  "client_encoding", nullptr};
  const char* const values[] = {"paring", kConnectSeconds, where.c_str(), "UTF8", nullptr};
  void* const connection = library->connect(keywords, values, 1);
  if (connection == nullptr) return exhausted("no memory for a connection to PostgreSQL");
  std::unique_ptr<PostgresTraffic> postgres(new PostgresTraffic(*library, connection));
  if (library->status(connection) != kConnectionOk) {
    Error error = postgres->failed("cannot be reached");
    error.hint =
        "it takes postgresql://user@host/database; a password belongs into PGPASSWORD "
        "or ~/.pgpass";
    return error;
  }
  PARING_TRY_VOID(postgres->prepare());
  return postgres;
}

Error PostgresTraffic::failed(const char* what) const {
  std::string why = library_.error(connection_);
  while (!why.empty() && (why.back() == '\n' || why.back() == ' ')) why.pop_back();
  // It may repeat what was given, a password with it.
  return {ErrorCode::kUnavailable,
          fmt::format("PostgreSQL {}: {}", what, escape_control(redact(why)))};
}

Result<void> PostgresTraffic::run(const std::string& sql) {
  const Answer answer(library_, library_.exec(connection_, sql.c_str()));
  if (answer.status() != kCommandOk && answer.status() != kTuplesOk) return failed("refuses");
  return {};
}

Result<std::string> PostgresTraffic::ask(const char* sql) {
  const Answer answer(library_, library_.exec(connection_, sql));
  if (answer.status() != kTuplesOk) return failed("refuses");
  if (library_.rows(answer.get()) == 0) return std::string();
  return std::string(library_.value(answer.get(), 0, 0));
}

Result<void> PostgresTraffic::prepare() {
  PARING_TRY_VOID(run("SET client_min_messages = warning; SET datestyle = ISO"));
  PARING_TRY_VOID(run("BEGIN"));
  // Two that begin at once would make the tables twice.
  PARING_TRY_VOID(run("SELECT pg_advisory_xact_lock(hashtext('paring.requests'))"));
  PARING_TRY_VOID(make_tables());
  PARING_TRY_VOID(run("COMMIT"));
  return run(
      "CREATE TEMP TABLE paring_batch (LIKE paring.requests INCLUDING DEFAULTS) "
      "ON COMMIT DELETE ROWS");
}

Result<void> PostgresTraffic::make_tables() {
  PARING_TRY(const std::string known, ask("SELECT to_regclass('paring.schema_version')"));
  if (known.empty()) {
    // One that may not make schemas can be given an empty one.
    PARING_TRY(const std::string schema, ask("SELECT to_regnamespace('paring')"));
    if (schema.empty()) PARING_TRY_VOID(run("CREATE SCHEMA paring"));
    PARING_TRY_VOID(run("CREATE TABLE paring.schema_version(version integer NOT NULL)"));
    return run(tables());
  }
  PARING_TRY(const std::string text, ask("SELECT max(version) FROM paring.schema_version"));
  int version = 0;
  std::from_chars(text.data(), text.data() + text.size(), version);
  if (version == kSchemaVersion) return {};
  if (version == 1) return run(kToVersion2);
  return Error{ErrorCode::kUnsupported,
               fmt::format("the tables in PostgreSQL's schema 'paring' have version {}, this "
                           "program knows {}",
                           version, kSchemaVersion),
               "export with the version of paring that made them, or to another database"};
}

Result<void> PostgresTraffic::write(std::span<const store::TrafficRequest> rows) {
  PARING_TRY_VOID(run("BEGIN"));
  Result<void> written = copy(rows);
  if (written) written = insert();
  if (written) return run("COMMIT");
  (void)run("ROLLBACK");
  return written;
}

Result<void> PostgresTraffic::copy(std::span<const store::TrafficRequest> rows) {
  {
    const std::string sql =
        fmt::format("COPY paring_batch ({}) FROM STDIN (FORMAT csv)", column_names());
    const Answer answer(library_, library_.exec(connection_, sql.c_str()));
    if (answer.status() != kCopyIn) return failed("refuses");
  }
  bool is_sent = true;
  for (const store::TrafficRequest& row : rows) {
    const std::string line = copy_line(row);
    is_sent = library_.put_copy_data(connection_, line.data(), static_cast<int>(line.size())) == 1;
    if (!is_sent) break;
  }
  is_sent = library_.put_copy_end(connection_, nullptr) == 1 && is_sent;
  bool is_taken = true;
  while (void* const result = library_.get_result(connection_)) {
    const Answer answer(library_, result);
    is_taken = is_taken && answer.status() == kCommandOk;
  }
  if (!is_sent || !is_taken) return failed("does not take the rows");
  return {};
}

Result<void> PostgresTraffic::insert() {
  const std::string names = column_names();
  const std::string sql = fmt::format(
      "INSERT INTO paring.requests AS kept ({0}) SELECT {0} FROM paring_batch "
      "ON CONFLICT (id, started_s, span_id) DO UPDATE SET prompt = excluded.prompt, "
      "answer = excluded.answer WHERE kept.prompt IS NULL AND excluded.prompt IS NOT NULL",
      names);
  const Answer answer(library_, library_.exec(connection_, sql.c_str()));
  if (answer.status() != kCommandOk) return failed("refuses");
  const std::string_view affected = library_.affected(answer.get());
  std::int64_t count = 0;
  std::from_chars(affected.data(), affected.data() + affected.size(), count);
  changed_ += count;
  return {};
}

}  // namespace paring::monitor
