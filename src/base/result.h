// SPDX-License-Identifier: Apache-2.0
// Result<T>: what a function that can fail because of the world (a file, a request, the machine)
// returns. Bugs of ours use PARING_CHECK (base/check.h). Nothing here throws; thread-compatible.
//
//   Result<Gguf> open(const std::string& path);
//   PARING_TRY(Gguf file, open(path));                 // returns the error early
//   PARING_TRY_VOID(file.validate());
//   return Error{ErrorCode::kCorrupt, "...", "hint"};  // converts to any Result<T>
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "base/check.h"

namespace paring {

// One row: enumerator, snake_case name, process exit code, HTTP status. The only table of codes.
#define PARING_ERROR_CODES(X)                     \
  X(kInvalidArgument, "invalid_argument", 2, 400) \
  X(kNotFound, "not_found", 3, 404)               \
  X(kCorrupt, "corrupt", 4, 422)                  \
  X(kUnsupported, "unsupported", 5, 501)          \
  X(kExhausted, "exhausted", 6, 503)              \
  X(kUnavailable, "unavailable", 7, 503)          \
  X(kCancelled, "cancelled", 8, 499)              \
  X(kDeadline, "deadline", 9, 504)                \
  X(kIo, "io", 10, 500)                           \
  X(kInternal, "internal", 70, 500)

enum class ErrorCode {
#define PARING_X(name, text, exit, http) name,
  PARING_ERROR_CODES(PARING_X)
#undef PARING_X
};

const char* error_code_name(ErrorCode code) noexcept;
int error_exit_code(ErrorCode code) noexcept;
int error_http_status(ErrorCode code) noexcept;

// A failure that a user may see. `message` is one sentence with the value and the limit, `hint`
// (may be empty) says what to do next.
struct Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;
  std::string hint{};

  // "message (hint)" as printed for people.
  std::string text() const { return hint.empty() ? message : message + "; " + hint; }
  // Puts "context: " in front of the message on the way up.
  Error with_context(const std::string& context) && {
    message = context + ": " + message;
    return std::move(*this);
  }
};

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // NOLINT: implicit
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT: implicit

  bool has_value() const noexcept { return state_.index() == 0; }
  explicit operator bool() const noexcept { return has_value(); }

  T& value() & {
    PARING_CHECK(has_value(), std::get<1>(state_).text());
    return std::get<0>(state_);
  }
  const T& value() const& {
    PARING_CHECK(has_value(), std::get<1>(state_).text());
    return std::get<0>(state_);
  }
  T&& value() && {
    PARING_CHECK(has_value(), std::get<1>(state_).text());
    return std::get<0>(std::move(state_));
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  // REQUIRES: !has_value().
  Error& error() & {
    PARING_CHECK(!has_value(), "error() of a Result that holds a value");
    return std::get<1>(state_);
  }
  const Error& error() const& {
    PARING_CHECK(!has_value(), "error() of a Result that holds a value");
    return std::get<1>(state_);
  }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}  // NOLINT: implicit

  bool has_value() const noexcept { return !error_.has_value(); }
  explicit operator bool() const noexcept { return has_value(); }
  void value() const { PARING_CHECK(has_value(), error_->text()); }
  Error& error() & {
    PARING_CHECK(!has_value(), "error() of a Result that holds a value");
    return *error_;
  }
  const Error& error() const& {
    PARING_CHECK(!has_value(), "error() of a Result that holds a value");
    return *error_;
  }

 private:
  std::optional<Error> error_;
};

inline Error invalid_argument(std::string message, std::string hint = {}) {
  return {ErrorCode::kInvalidArgument, std::move(message), std::move(hint)};
}
inline Error not_found(std::string message, std::string hint = {}) {
  return {ErrorCode::kNotFound, std::move(message), std::move(hint)};
}
inline Error corrupt(std::string message, std::string hint = {}) {
  return {ErrorCode::kCorrupt, std::move(message), std::move(hint)};
}
inline Error unsupported(std::string message, std::string hint = {}) {
  return {ErrorCode::kUnsupported, std::move(message), std::move(hint)};
}
inline Error exhausted(std::string message, std::string hint = {}) {
  return {ErrorCode::kExhausted, std::move(message), std::move(hint)};
}
inline Error io_error(std::string message, std::string hint = {}) {
  return {ErrorCode::kIo, std::move(message), std::move(hint)};
}

}  // namespace paring

#define PARING_CONCAT_(a, b) a##b
#define PARING_CONCAT(a, b) PARING_CONCAT_(a, b)

// PARING_TRY(declaration, expression): declares a variable from a Result or returns its Error.
#define PARING_TRY(declaration, ...) \
  PARING_TRY_IMPL_(PARING_CONCAT(paring_try_, __LINE__), declaration, __VA_ARGS__)
#define PARING_TRY_IMPL_(temporary, declaration, ...)              \
  auto temporary = (__VA_ARGS__);                                  \
  if (!temporary.has_value()) return std::move(temporary.error()); \
  declaration = std::move(temporary).value()

// The same for Result<void>.
#define PARING_TRY_VOID(...)                                                         \
  do {                                                                               \
    auto paring_try_result = (__VA_ARGS__);                                          \
    if (!paring_try_result.has_value()) return std::move(paring_try_result.error()); \
  } while (false)
