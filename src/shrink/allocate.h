// SPDX-License-Identifier: Apache-2.0
// The allocation: one option for each matrix so that the summed predicted loss is least while the
// summed bytes and seconds stay within bounds. A multiple-choice knapsack, solved by dynamic
// programming over bytes with a price on seconds, then improved by exchanges until none helps.
// Deterministic, pure.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace paring::shrink {

// One choice for one item. Loss adds over items.
struct AllocationOption {
  double loss = 0;
  std::uint64_t bytes = 0;
  double seconds = 0;
};

struct AllocationLimits {
  std::uint64_t bytes = 0;  // required
  double seconds = 0;       // 0: no bound
};

struct Allocation {
  std::vector<std::size_t> choice;  // option index by item; empty when no choice fits
  double loss = 0;
  std::uint64_t bytes = 0;
  double seconds = 0;
  bool is_feasible() const { return !choice.empty(); }
};

// `items[i]` holds the options of item i, at least one each, at most 256.
Allocation allocate(std::span<const std::vector<AllocationOption>> items,
                    const AllocationLimits& limits);

}  // namespace paring::shrink
