// SPDX-License-Identifier: Apache-2.0
// An error as a client gets it: what HTTP and the protocols need beyond an Error. Its text never
// holds paths, addresses or secrets of the server. Plain data.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "base/check.h"
#include "base/result.h"

namespace paring::serve {

struct ApiError {
  int status = 400;  // of HTTP
  std::string code =
      {};  // as OpenAI names them: "context_length_exceeded", "model_not_found"; or ""
  std::string message = {};  // what is wrong, with value and limit, and what to do
  std::string param = {};    // the field that is wrong, such as "messages[2].content"; or ""
  std::optional<double> retry_after_seconds = std::nullopt;
};

// A value, or why there is none.
template <typename T>
class ApiResult {
 public:
  ApiResult(T value) : state_(std::move(value)) {}         // NOLINT(google-explicit-constructor)
  ApiResult(ApiError error) : state_(std::move(error)) {}  // NOLINT(google-explicit-constructor)
  explicit operator bool() const noexcept { return state_.index() == 0; }
  T& operator*() { return std::get<0>(state_); }
  const T& operator*() const { return std::get<0>(state_); }
  T* operator->() { return &std::get<0>(state_); }
  const T* operator->() const { return &std::get<0>(state_); }
  const ApiError& error() const { return std::get<1>(state_); }

 private:
  std::variant<T, ApiError> state_;
};

// `error` of the field `param`: 4xx where the request is at fault, with the code's table of
// statuses else (base/result.h). What a model or tool of this server cannot do is the request's
// fault, too: 400.
ApiError api_error(const Error& error, std::string param = "");

// 400: the field `param` of the request is wrong.
ApiError bad_request(std::string param, std::string message);

// "type" of an error object as OpenAI's clients know it, by status: "invalid_request_error", ...
const char* openai_error_type(int status) noexcept;
// The same for Anthropic's.
const char* anthropic_error_type(int status) noexcept;

}  // namespace paring::serve
