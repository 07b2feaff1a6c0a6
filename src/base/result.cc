// SPDX-License-Identifier: Apache-2.0
#include "base/result.h"

#include <cstdio>
#include <cstdlib>

namespace paring {

void check_failed(const char* file, int line, const char* condition,
                  std::string_view text) noexcept {
  std::fprintf(stderr, "paring: internal error at %s:%d: %s: %.*s\n", file, line, condition,
               static_cast<int>(text.size()), text.data());
  std::abort();
}

const char* error_code_name(ErrorCode code) noexcept {
  switch (code) {
#define PARING_X(name, text, exit, http) \
  case ErrorCode::name:                  \
    return text;
    PARING_ERROR_CODES(PARING_X)
#undef PARING_X
  }
  return "internal";
}

int error_exit_code(ErrorCode code) noexcept {
  switch (code) {
#define PARING_X(name, text, exit, http) \
  case ErrorCode::name:                  \
    return exit;
    PARING_ERROR_CODES(PARING_X)
#undef PARING_X
  }
  return 70;
}

int error_http_status(ErrorCode code) noexcept {
  switch (code) {
#define PARING_X(name, text, exit, http) \
  case ErrorCode::name:                  \
    return http;
    PARING_ERROR_CODES(PARING_X)
#undef PARING_X
  }
  return 500;
}

}  // namespace paring
