// SPDX-License-Identifier: Apache-2.0
#include "engine/fair_share.h"

#include <algorithm>
#include <limits>

#include "base/check.h"

namespace paring::engine {

void FairShare::arrive(std::uint64_t tenant, double weight) {
  settle();
  Account& account = accounts_[tenant];
  if (account.requests++ == 0) account.served = std::max(account.served, level_);
  account.weight = weight > 0 ? weight : 1;
}

void FairShare::leave(std::uint64_t tenant) {
  const auto it = accounts_.find(tenant);
  PARING_CHECK(it != accounts_.end() && it->second.requests > 0, "it arrived before");
  --it->second.requests;
  settle();
}

void FairShare::charge(std::uint64_t tenant, double tokens) {
  Account& account = accounts_.at(tenant);
  account.served += tokens / account.weight;
}

double FairShare::served(std::uint64_t tenant) const { return accounts_.at(tenant).served; }

// Raises the level, and forgets who would come back at it anyway.
void FairShare::settle() {
  double least = std::numeric_limits<double>::infinity();
  std::size_t idle = 0;
  for (const auto& [tenant, account] : accounts_) {
    if (account.requests > 0) least = std::min(least, account.served);
    if (account.requests == 0) ++idle;
  }
  if (least != std::numeric_limits<double>::infinity()) level_ = std::max(level_, least);
  std::erase_if(accounts_, [&](const auto& entry) {
    const Account& account = entry.second;
    return account.requests == 0 && (account.served <= level_ || idle > kTenantsRememberedMax);
  });
}

}  // namespace paring::engine
