// SPDX-License-Identifier: Apache-2.0
// Token budgets by reservation. Work reserves the most that it can use, before it starts; when it
// ends, what it used is settled and the rest is free again. Both are transactions, so a budget is
// never overspent, whatever ends in between: at every moment settled + reserved <= budget in each
// period, and `settled` is the sum of the ledger's rows.
//
// A request counts in the day and the month (UTC) in which it was reserved. Thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/control_db.h"
#include "store/keys.h"

namespace paring::store {

// The first second of the period that `now_s` lies in; 0 for kTotal.
std::int64_t budget_period_start(BudgetPeriod period, std::int64_t now_s) noexcept;
// The first second after it; nullopt for kTotal.
std::optional<std::int64_t> budget_period_end(BudgetPeriod period, std::int64_t now_s) noexcept;

struct ReservationRequest {
  std::string key_id;
  std::string request_id;
  std::int64_t tokens = 0;          // prompt and longest answer
  std::int64_t charge_if_lost = 0;  // settled when the process dies first; at most `tokens`
  std::int64_t now_s = 0;
};

// A budget without room for a request.
struct BudgetRefusal {
  BudgetPeriod period = BudgetPeriod::kTotal;
  std::int64_t limit = 0;
  std::int64_t settled = 0;
  std::int64_t reserved = 0;
};

// Exactly one of both is set.
struct ReservationOutcome {
  std::optional<std::int64_t> id;
  std::optional<BudgetRefusal> refusal;
};

struct SpendRow {
  BudgetPeriod period = BudgetPeriod::kTotal;
  std::int64_t start_s = 0;
  std::int64_t reserved = 0;
  std::int64_t settled = 0;
};

struct RecoveredReservations {
  std::int64_t count = 0;
  std::int64_t tokens_charged = 0;
};

class Ledger {
 public:
  explicit Ledger(const ControlDb& control) : control_(control) {}

  // Sets tokens aside in all budgets of the key, or in none. NotFound: no such key.
  // InvalidArgument: a negative count, or charge_if_lost above tokens.
  Result<ReservationOutcome> reserve(const ReservationRequest& request) const;
  // Raises what is charged if the process dies, up to what is reserved; never lowers it.
  Result<void> raise_charge_if_lost(std::int64_t reservation, std::int64_t tokens) const;
  // Ends a reservation and charges `tokens`. NotFound: it has ended before. InvalidArgument: more
  // than was reserved; then all that was reserved is charged.
  Result<void> settle(std::int64_t reservation, std::int64_t tokens, std::int64_t now_s) const;
  // Charges and ends what a dead process left. REQUIRES: the caller holds the ServingLock and has
  // reserved nothing yet.
  Result<RecoveredReservations> recover(std::int64_t now_s) const;

  // The periods that `now_s` lies in; zeros where nothing was used.
  Result<std::vector<SpendRow>> spend(std::string_view key_id, std::int64_t now_s) const;
  // Corrupt, with the figures, when a sum of the ledger or of the reservations is not what the
  // periods say. Reads all rows.
  Result<void> check() const;
  // Sum of the ledger's rows of a key.
  Result<std::int64_t> total_charged(std::string_view key_id) const;

 private:
  const ControlDb& control_;
};

}  // namespace paring::store
