// SPDX-License-Identifier: Apache-2.0
// SQLite behind Result: connections, prepared statements, bound values. The only file that speaks
// to sqlite3. A Sql is a literal of the source, so that text from outside cannot become part of a
// statement: it is bound, always. A Connection and its cursors belong to one thread at a time.
//
//   PARING_TRY(Cursor row, connection.query("SELECT name FROM keys WHERE id = ?1", {id}));
//   PARING_TRY(const bool is_found, row.next());
//   if (is_found) use(row.text(0));
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace paring::store::detail {

// A statement, or a script of several, as a literal. Anything else does not compile.
class Sql {
 public:
  template <std::size_t N>
  consteval Sql(const char (&text)[N]) : text_(text, N - 1) {}  // NOLINT: implicit
  std::string_view text() const noexcept { return text_; }

 private:
  std::string_view text_;
};

// A bound value. Texts and blobs are copied when they are bound.
class Value {
 public:
  Value(std::nullopt_t) {}                                            // NOLINT: implicit
  Value(std::int64_t value) : value_(value) {}                        // NOLINT: implicit
  Value(double value) : value_(value) {}                              // NOLINT: implicit
  Value(int value) : value_(std::int64_t{value}) {}                   // NOLINT: implicit
  Value(std::string_view text) : value_(text) {}                      // NOLINT: implicit
  Value(const std::string& text) : value_(std::string_view(text)) {}  // NOLINT: implicit
  Value(const char* text) : value_(std::string_view(text)) {}         // NOLINT: implicit
  Value(std::span<const std::uint8_t> blob) : value_(blob) {}         // NOLINT: implicit
  template <typename T>
  Value(const std::optional<T>& value) {  // NOLINT: implicit
    if (value) *this = Value(*value);
  }

  std::variant<std::monostate, std::int64_t, double, std::string_view,
               std::span<const std::uint8_t>>
      value_;
};
using Values = std::initializer_list<Value>;

// The rows of a running statement. Holds the statement until it goes: a second query with the same
// text at the same time is a bug of ours. Movable.
class Cursor {
 public:
  explicit Cursor(sqlite3_stmt* statement) : statement_(statement) {}
  ~Cursor();
  Cursor(Cursor&& other) noexcept : statement_(std::exchange(other.statement_, nullptr)) {}
  Cursor& operator=(Cursor&&) = delete;

  // To the next row; false at the end.
  Result<bool> next();

  // Columns of the present row, from 0. Texts and blobs live until next().
  std::int64_t integer(int column) const noexcept;
  std::optional<std::int64_t> optional_integer(int column) const noexcept;
  double real(int column) const noexcept;
  std::optional<double> optional_real(int column) const noexcept;
  std::string text(int column) const;
  std::optional<std::string> optional_text(int column) const;
  std::span<const std::uint8_t> blob(int column) const noexcept;
  bool is_null(int column) const noexcept;

 private:
  sqlite3_stmt* statement_;
};

// What `row_of(const Cursor&)` makes of each row: a Row, or a Result of one.
template <typename Row, typename RowOf>
Result<std::vector<Row>> collect(Result<Cursor> rows, RowOf row_of) {
  PARING_TRY(Cursor row, std::move(rows));
  std::vector<Row> found;
  PARING_TRY(bool has_row, row.next());
  while (has_row) {
    Result<Row> made = row_of(row);
    if (!made) return std::move(made.error());
    found.push_back(std::move(*made));
    PARING_TRY(has_row, row.next());
  }
  return found;
}

// When a commit is safe from what. A process that is killed loses nothing in either.
enum class Durability : std::uint8_t {
  kProcess,  // a power failure may take the last commits back, in their order
  kPower,    // on the disk when it returns
};

class Connection {
 public:
  // The file must exist. Waits `busy_ms` for others' locks.
  static Result<std::unique_ptr<Connection>> open(const std::string& path, std::int64_t busy_ms);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // One statement with its parameters ?1, ?2, ...; prepared once for each text.
  Result<Cursor> query(Sql sql, Values values = {});
  // The same for a statement without rows; returns how many rows it changed.
  Result<std::int64_t> execute(Sql sql, Values values = {});
  // The one integer of the one row that the statement gives.
  Result<std::int64_t> integer(Sql sql, Values values = {});
  // Statements one after the other, without parameters.
  Result<void> script(Sql sql);
  std::int64_t last_row_id() const noexcept;
  Result<void> set_durability(Durability durability);

  const std::string& path() const noexcept { return path_; }

 private:
  struct Close {
    void operator()(sqlite3* database) const noexcept;
  };
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const noexcept;
  };
  Connection(sqlite3* database, std::string path) : database_(database), path_(std::move(path)) {}
  Result<void> configure(std::int64_t busy_ms);
  Result<sqlite3_stmt*> prepare(Sql sql);
  Error error(int code) const;

  std::unique_ptr<sqlite3, Close> database_;
  std::string path_;
  // By the address of the literal.
  std::unordered_map<const char*, std::unique_ptr<sqlite3_stmt, Finalize>> statements_;
};

// For statements whose count of rows says nothing.
inline Result<void> as_void(const Result<std::int64_t>& rows) {
  if (!rows) return rows.error();
  return {};
}

// What the last failed call on `database` means for a user.
Error sqlite_error(sqlite3* database, int code, const std::string& path);

}  // namespace paring::store::detail
