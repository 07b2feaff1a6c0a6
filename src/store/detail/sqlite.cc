// SPDX-License-Identifier: Apache-2.0
#include "store/detail/sqlite.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <cerrno>
#include <utility>

#include "base/file.h"

namespace paring::store::detail {

namespace {

struct CodeRow {
  int code;  // primary result code of SQLite
  ErrorCode meaning;
  const char* hint;
};

constexpr CodeRow kCodes[] = {
    {SQLITE_BUSY, ErrorCode::kUnavailable, "another process holds it; try again"},
    {SQLITE_LOCKED, ErrorCode::kUnavailable, "another connection holds it; try again"},
    {SQLITE_FULL, ErrorCode::kExhausted, "the disk is full; free space"},
    {SQLITE_NOMEM, ErrorCode::kExhausted, "not enough memory"},
    {SQLITE_TOOBIG, ErrorCode::kExhausted, "a value is larger than SQLite stores"},
    {SQLITE_CORRUPT, ErrorCode::kCorrupt, "restore it from a backup"},
    {SQLITE_NOTADB, ErrorCode::kCorrupt, "it is no SQLite database; restore it from a backup"},
    {SQLITE_READONLY, ErrorCode::kIo, "check the permissions of the file and its folder"},
    {SQLITE_CANTOPEN, ErrorCode::kIo, "check the permissions of the file and its folder"},
    {SQLITE_PERM, ErrorCode::kIo, "check the permissions of the file and its folder"},
    {SQLITE_AUTH, ErrorCode::kIo, "check the permissions of the file and its folder"},
    {SQLITE_IOERR, ErrorCode::kIo, "check the disk"},
    {SQLITE_CONSTRAINT, ErrorCode::kInvalidArgument, ""},
};

bool is_out_of_space(int error_number) {
  return error_number == ENOSPC || error_number == EDQUOT || error_number == EFBIG;
}

// What the system said at the last failed call on the file or its log; 0 when neither failed.
int last_errno(sqlite3* database) {
  int of_file = 0;
  sqlite3_file_control(database, "main", SQLITE_FCNTL_LAST_ERRNO, &of_file);
  sqlite3_file* log = nullptr;
  sqlite3_file_control(database, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log);
  int of_log = 0;
  if (log != nullptr && log->pMethods != nullptr) {
    log->pMethods->xFileControl(log, SQLITE_FCNTL_LAST_ERRNO, &of_log);
  }
  if (is_out_of_space(of_log)) return of_log;
  if (of_file != 0 || of_log != 0) return of_file != 0 ? of_file : of_log;
  return sqlite3_system_errno(database);
}

int bind(sqlite3_stmt* statement, int index, const Value& value) {
  if (const auto* number = std::get_if<std::int64_t>(&value.value_)) {
    return sqlite3_bind_int64(statement, index, *number);
  }
  if (const auto* number = std::get_if<double>(&value.value_)) {
    return sqlite3_bind_double(statement, index, *number);
  }
  if (const auto* text = std::get_if<std::string_view>(&value.value_)) {
    // An empty view may have no address, which would bind NULL.
    const char* data = text->data() == nullptr ? "" : text->data();
    return sqlite3_bind_text64(statement, index, data, text->size(), SQLITE_TRANSIENT, SQLITE_UTF8);
  }
  if (const auto* blob = std::get_if<std::span<const std::uint8_t>>(&value.value_)) {
    if (blob->empty()) return sqlite3_bind_zeroblob(statement, index, 0);
    return sqlite3_bind_blob64(statement, index, blob->data(), blob->size(), SQLITE_TRANSIENT);
  }
  return sqlite3_bind_null(statement, index);
}

}  // namespace

Error sqlite_error(sqlite3* database, int code, const std::string& path) {
  const int primary = code & 0xff;
  std::string message =
      fmt::format("the database '{}' failed: {}", path,
                  database == nullptr ? sqlite3_errstr(code) : sqlite3_errmsg(database));
  if (code == SQLITE_IOERR_SHMSIZE) {
    return exhausted(std::move(message), "no room for the index of the log; free space");
  }
  // Of those codes SQLite remembers what the system said.
  if (database != nullptr && (primary == SQLITE_IOERR || primary == SQLITE_CANTOPEN)) {
    const int error_number = last_errno(database);
    if (error_number != 0) message += fmt::format(" ({})", errno_text(error_number));
    if (is_out_of_space(error_number)) {
      return exhausted(std::move(message), "the disk or a quota is full; free space");
    }
  }
  for (const CodeRow& row : kCodes) {
    if (row.code == primary) return {row.meaning, std::move(message), row.hint};
  }
  return {ErrorCode::kInternal, std::move(message), {}};
}

Cursor::~Cursor() {
  if (statement_ == nullptr) return;
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

Result<bool> Cursor::next() {
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  sqlite3* database = sqlite3_db_handle(statement_);
  const char* path = sqlite3_db_filename(database, "main");
  return sqlite_error(database, code, path == nullptr ? "" : path);
}

std::int64_t Cursor::integer(int column) const noexcept {
  return sqlite3_column_int64(statement_, column);
}

std::optional<std::int64_t> Cursor::optional_integer(int column) const noexcept {
  if (is_null(column)) return std::nullopt;
  return integer(column);
}

double Cursor::real(int column) const noexcept { return sqlite3_column_double(statement_, column); }

std::optional<double> Cursor::optional_real(int column) const noexcept {
  if (is_null(column)) return std::nullopt;
  return real(column);
}

std::string Cursor::text(int column) const {
  const auto* data = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
  if (data == nullptr) return {};
  return {data, static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
}

std::optional<std::string> Cursor::optional_text(int column) const {
  if (is_null(column)) return std::nullopt;
  return text(column);
}

std::span<const std::uint8_t> Cursor::blob(int column) const noexcept {
  const auto* data = static_cast<const std::uint8_t*>(sqlite3_column_blob(statement_, column));
  return {data, static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
}

bool Cursor::is_null(int column) const noexcept {
  return sqlite3_column_type(statement_, column) == SQLITE_NULL;
}

void Connection::Close::operator()(sqlite3* database) const noexcept { sqlite3_close_v2(database); }

void Connection::Finalize::operator()(sqlite3_stmt* statement) const noexcept {
  sqlite3_finalize(statement);
}

Connection::~Connection() { statements_.clear(); }

Result<std::unique_ptr<Connection>> Connection::open(const std::string& path,
                                                     std::int64_t busy_ms) {
  sqlite3* database = nullptr;
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
  const int code = sqlite3_open_v2(path.c_str(), &database, flags, nullptr);
  std::unique_ptr<Connection> connection(new Connection(database, path));
  if (code != SQLITE_OK) return sqlite_error(database, code, path);
  PARING_TRY_VOID(connection->configure(busy_ms));
  return connection;
}

Result<void> Connection::configure(std::int64_t busy_ms) {
  sqlite3_busy_timeout(database_.get(), static_cast<int>(busy_ms));
  // A hostile or damaged file can neither run code of its schema nor rewrite it.
  sqlite3_db_config(database_.get(), SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(database_.get(), SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  sqlite3_limit(database_.get(), SQLITE_LIMIT_ATTACHED, 0);
  // mmap_size 0: a file that is cut while it is mapped would end the process with SIGBUS.
  PARING_TRY_VOID(
      script("PRAGMA foreign_keys = ON;"
             "PRAGMA mmap_size = 0;"
             "PRAGMA cell_size_check = ON;"
             "PRAGMA temp_store = MEMORY;"
             "PRAGMA journal_size_limit = 67108864;"
             "PRAGMA synchronous = NORMAL;"));
  return {};
}

Result<sqlite3_stmt*> Connection::prepare(Sql sql) {
  auto& kept = statements_[sql.text().data()];
  if (kept == nullptr) {
    sqlite3_stmt* statement = nullptr;
    const char* tail = nullptr;
    const int code =
        sqlite3_prepare_v3(database_.get(), sql.text().data(), static_cast<int>(sql.text().size()),
                           SQLITE_PREPARE_PERSISTENT, &statement, &tail);
    if (code != SQLITE_OK) return error(code);
    PARING_CHECK(*tail == '\0', "more than one statement in a query");
    kept.reset(statement);
  }
  PARING_CHECK(sqlite3_stmt_busy(kept.get()) == 0, "a statement is used twice at a time");
  return kept.get();
}

Result<Cursor> Connection::query(Sql sql, Values values) {
  PARING_TRY(sqlite3_stmt* const statement, prepare(sql));
  Cursor cursor(statement);
  PARING_CHECK(static_cast<int>(values.size()) == sqlite3_bind_parameter_count(statement),
               "as many values as parameters");
  int index = 0;
  for (const Value& value : values) {
    const int code = bind(statement, ++index, value);
    if (code != SQLITE_OK) return error(code);
  }
  return cursor;
}

Result<std::int64_t> Connection::execute(Sql sql, Values values) {
  PARING_TRY(Cursor cursor, query(sql, values));
  PARING_TRY(bool has_row, cursor.next());
  while (has_row) {
    PARING_TRY(has_row, cursor.next());
  }
  return std::int64_t{sqlite3_changes64(database_.get())};
}

Result<std::int64_t> Connection::integer(Sql sql, Values values) {
  PARING_TRY(Cursor cursor, query(sql, values));
  PARING_TRY(const bool has_row, cursor.next());
  PARING_CHECK(has_row, "a statement without the row that it always gives");
  return cursor.integer(0);
}

Result<void> Connection::script(Sql sql) {
  const int code = sqlite3_exec(database_.get(), sql.text().data(), nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return error(code);
  return {};
}

std::int64_t Connection::last_row_id() const noexcept {
  return sqlite3_last_insert_rowid(database_.get());
}

Result<void> Connection::set_durability(Durability durability) {
  // In WAL mode FULL syncs the log at each commit, NORMAL before each checkpoint.
  return durability == Durability::kPower ? script("PRAGMA synchronous = FULL;")
                                          : script("PRAGMA synchronous = NORMAL;");
}

Error Connection::error(int code) const { return sqlite_error(database_.get(), code, path_); }

}  // namespace paring::store::detail
