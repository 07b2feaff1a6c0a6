// SPDX-License-Identifier: Apache-2.0
// Checks for our own bugs: PARING_CHECK is always on, PARING_DCHECK in builds without NDEBUG.
// A failed check prints file, line and text to stderr and aborts. Never for input from a file, a
// request or the machine: that is Result (base/result.h).
#pragma once

#include <string_view>

namespace paring {
[[noreturn]] void check_failed(const char* file, int line, const char* condition,
                               std::string_view text) noexcept;
}  // namespace paring

#define PARING_CHECK(condition, text)                                 \
  do {                                                                \
    if (!(condition)) [[unlikely]]                                    \
      ::paring::check_failed(__FILE__, __LINE__, #condition, (text)); \
  } while (false)

#ifdef NDEBUG
#define PARING_DCHECK(condition, text) \
  do {                                 \
  } while (false)
#else
#define PARING_DCHECK(condition, text) PARING_CHECK(condition, text)
#endif
