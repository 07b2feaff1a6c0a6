// SPDX-License-Identifier: Apache-2.0
// Why access was refused: the one list, with HTTP status and the code that OpenAI's clients know.
// Stateless.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "serve/api_error.h"

namespace paring::serve {

// enumerator, name in the audit log, HTTP status, code
#define PARING_REFUSALS(X)                                           \
  X(kMissingKey, "missing_key", 401, "missing_api_key")              \
  X(kInvalidKey, "invalid_key", 401, "invalid_api_key")              \
  X(kRevokedKey, "revoked_key", 401, "invalid_api_key")              \
  X(kExpiredKey, "expired_key", 401, "invalid_api_key")              \
  X(kMissingScope, "missing_scope", 403, "insufficient_permissions") \
  X(kForeignPage, "foreign_page", 403, "origin_not_allowed")         \
  X(kRequestRate, "request_rate", 429, "rate_limit_exceeded")        \
  X(kTokenRate, "token_rate", 429, "rate_limit_exceeded")            \
  X(kConcurrency, "concurrency", 429, "rate_limit_exceeded")         \
  X(kBudgetReserved, "budget_reserved", 429, "rate_limit_exceeded")  \
  X(kBudgetSpent, "budget_spent", 429, "insufficient_quota")         \
  X(kStoreFailed, "store_failed", 503, "server_is_overloaded")

enum class Refusal : std::uint8_t {
#define PARING_X(name, text, status, code) name,
  PARING_REFUSALS(PARING_X)
#undef PARING_X
};

const char* refusal_name(Refusal refusal) noexcept;
// `retry_after_seconds`: when trying again makes sense; absent: it does not.
ApiError refuse(Refusal refusal, std::string message,
                std::optional<double> retry_after_seconds = std::nullopt);
// The value of a Retry-After header: whole seconds, at least 1.
std::int64_t retry_after_header(double seconds) noexcept;

}  // namespace paring::serve
