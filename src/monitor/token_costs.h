// SPDX-License-Identifier: Apache-2.0
// TokenCosts: what tokens of models that others serve cost, put into rows of traffic by a price
// book. What cannot be charged is left without money, not with none: it is counted by why, and each
// model without a price is told once. Thread-safe.
#pragma once

#include <cstddef>
#include <mutex>
#include <set>
#include <string>

#include "monitor/price_book.h"
#include "store/traffic_rows.h"

namespace paring::monitor {

class TokenCosts {
 public:
  // Models without a price that are told in the log.
  static constexpr std::size_t kToldMax = 100;

  // Sets row.money. `also`: another name of the row's model, such as the one that its answer has;
  // may be empty. `is_told`: the tokens are those that the answer stated, all of them. A book
  // without prices charges nothing, and counts nothing.
  void charge(const PriceBook& book, store::TrafficRequest& row, const std::string& also,
              bool is_told);
  // Of all rows since the start, or since the book has its currency.
  store::TrafficMoney total() const;

 private:
  mutable std::mutex mutex_;
  store::TrafficMoney total_;   // guarded by mutex_
  std::set<std::string> told_;  // guarded by mutex_
};

}  // namespace paring::monitor
