// SPDX-License-Identifier: Apache-2.0
#include "serve/batch/storage_failure.h"

#include <fmt/format.h>

#include "base/log.h"

namespace paring::serve {

ApiError storage_failure(std::string_view what, const Error& error) {
  log_error(fmt::format("{}: {}", what, error.text()));
  ApiError failure = api_error(error);
  if (error.code == ErrorCode::kCorrupt) failure.status = 500;  // it is the server's, not a request
  if (error.code == ErrorCode::kExhausted) {
    failure.message = "the server has no room to store this at the moment; try again later";
  } else if (failure.status >= 500) {
    failure.message = "the server cannot reach what it stores at the moment; try again later";
  }
  return failure;
}

}  // namespace paring::serve
