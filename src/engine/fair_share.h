// SPDX-License-Identifier: Apache-2.0
// FairShare: whose turn it is among tenants, by what each was given so far (the virtual token
// counter of arXiv:2401.00588, sec. 4). A tenant's counter grows by the tokens computed for it,
// divided by its weight; who has the least goes next. Who comes back after having had nothing to do
// starts level with the others: time in which one asked for nothing is no credit. Confined to one
// thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>

namespace paring::engine {

class FairShare {
 public:
  // One request of `tenant` came or ended.
  void arrive(std::uint64_t tenant, double weight);
  void leave(std::uint64_t tenant);
  // `tokens` were computed for it. REQUIRES: a request of it is there.
  void charge(std::uint64_t tenant, double tokens);
  // Tokens by weight that it was given; the least goes next. REQUIRES as above.
  double served(std::uint64_t tenant) const;
  // Tenants that are remembered: those with requests, and those who had more than others have now.
  std::size_t size() const noexcept { return accounts_.size(); }

 private:
  struct Account {
    std::size_t requests = 0;
    double weight = 1;
    double served = 0;
  };
  void settle();
  std::map<std::uint64_t, Account> accounts_;
  double level_ = 0;  // what the least served of those with requests had, never less than before
};

inline constexpr std::size_t kTenantsRememberedMax = 4096;  // without requests

}  // namespace paring::engine
