// SPDX-License-Identifier: Apache-2.0
// The table of API keys with their limits and budgets. Holds hashes only: what a key is made of
// and how it is checked is serve/access. Thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/control_db.h"

namespace paring::store {

enum class BudgetPeriod : std::uint8_t { kDay, kMonth, kTotal };
inline constexpr BudgetPeriod kBudgetPeriods[] = {BudgetPeriod::kDay, BudgetPeriod::kMonth,
                                                  BudgetPeriod::kTotal};
// "day", "month", "total".
const char* budget_period_name(BudgetPeriod period) noexcept;

struct Budget {
  BudgetPeriod period = BudgetPeriod::kTotal;
  std::int64_t tokens = 0;
};

// Limits that are absent do not limit.
struct KeyLimits {
  std::optional<std::int64_t> requests_per_minute = std::nullopt;
  std::optional<std::int64_t> tokens_per_minute = std::nullopt;
  std::optional<std::int64_t> concurrent_requests = std::nullopt;
  std::int64_t weight = 100;         // share of the machine beside other keys
  std::vector<Budget> budgets = {};  // at most one a period
};

struct KeyRow {
  std::string id;  // "key_...", no secret
  std::string tenant;
  std::string name;
  std::string lookup;  // first letters of the key
  std::array<std::uint8_t, 32> hash{};
  std::string scopes;          // names with commas between
  std::int64_t created_s = 0;  // since 1970-01-01 UTC, as all times here
  std::optional<std::int64_t> expires_s;
  std::optional<std::int64_t> revoked_s;
  std::optional<std::int64_t> last_used_s;
  KeyLimits limits;
};

class Keys {
 public:
  explicit Keys(const ControlDb& control) : control_(control) {}

  // InvalidArgument when id or lookup exists, or a limit is not positive.
  Result<void> insert(const KeyRow& key) const;
  // The key whose first letters are `lookup`; nullopt when there is none.
  Result<std::optional<KeyRow>> find_by_lookup(std::string_view lookup) const;
  Result<std::optional<KeyRow>> find(std::string_view id) const;
  // Oldest first.
  Result<std::vector<KeyRow>> list() const;
  // Whether a key was ever made, revoked or not.
  Result<bool> has_any() const;
  // From the next look-up on, in every process. False when it was revoked before; NotFound when
  // there is no such key.
  Result<bool> revoke(std::string_view id, std::int64_t now_s) const;
  // Does nothing for a time before the one that stands there.
  Result<void> set_last_used(std::string_view id, std::int64_t now_s) const;

 private:
  const ControlDb& control_;
};

}  // namespace paring::store
