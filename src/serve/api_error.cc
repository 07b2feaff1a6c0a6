// SPDX-License-Identifier: Apache-2.0
#include "serve/api_error.h"

namespace paring::serve {

ApiError api_error(const Error& error, std::string param) {
  ApiError result;
  result.param = std::move(param);
  result.message = error.hint.empty() ? error.message : error.message + "; " + error.hint;
  result.status = error.code == ErrorCode::kUnsupported ? 400 : error_http_status(error.code);
  if (error.code == ErrorCode::kInternal || error.code == ErrorCode::kIo) {
    // Details of the server are for its log.
    result.message = "the server could not answer because of a problem of its own";
  }
  if (result.status == 503) {
    result.code = "server_is_overloaded";
    result.retry_after_seconds = 1;
  }
  return result;
}

ApiError bad_request(std::string param, std::string message) {
  return {.status = 400, .message = std::move(message), .param = std::move(param)};
}

const char* openai_error_type(int status) noexcept {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 429:
      return "rate_limit_error";
    case 503:
      return "service_unavailable_error";
    default:
      return status >= 500 ? "server_error" : "invalid_request_error";
  }
}

const char* anthropic_error_type(int status) noexcept {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 413:
      return "request_too_large";
    case 429:
      return "rate_limit_error";
    case 503:
      return "overloaded_error";
    default:
      return status >= 500 ? "api_error" : "invalid_request_error";
  }
}

}  // namespace paring::serve
