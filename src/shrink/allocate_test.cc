// SPDX-License-Identifier: Apache-2.0
#include "shrink/allocate.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/random.h"

namespace paring::shrink {
namespace {

using Items = std::vector<std::vector<AllocationOption>>;

Items random_items(std::size_t count, std::uint64_t seed) {
  RandomStream random({seed, 0, 0});
  Items items;
  for (std::size_t i = 0; i < count; ++i) {
    std::vector<AllocationOption> options;
    const double weight = std::exp(3.0 * random.normal());
    for (std::uint64_t bits : {4U, 5U, 6U, 8U}) {
      options.push_back(
          {weight * std::pow(0.3, static_cast<double>(bits)) * (0.5 + random.uniform()),
           bits * 100 + random.below(30),
           0.01 * static_cast<double>(bits) + 0.01 * random.uniform()});
    }
    items.push_back(std::move(options));
  }
  return items;
}

// Least loss of all combinations.
double brute_force(const Items& items, const AllocationLimits& limits) {
  double best = std::numeric_limits<double>::infinity();
  std::vector<std::size_t> choice(items.size());
  for (;;) {
    double loss = 0;
    double seconds = 0;
    std::uint64_t bytes = 0;
    for (std::size_t i = 0; i < items.size(); ++i) {
      loss += items[i][choice[i]].loss;
      bytes += items[i][choice[i]].bytes;
      seconds += items[i][choice[i]].seconds;
    }
    if (bytes <= limits.bytes && (limits.seconds == 0 || seconds <= limits.seconds)) {
      best = std::min(best, loss);
    }
    std::size_t i = 0;
    while (i < items.size() && ++choice[i] == items[i].size()) choice[i++] = 0;
    if (i == items.size()) return best;
  }
}

TEST(Allocate, IsNearTheBestOfAllCombinations) {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    const Items items = random_items(7, seed);
    for (const std::uint64_t bytes : {3300U, 4000U, 5000U}) {
      const AllocationLimits limits{bytes, 0};
      const double best = brute_force(items, limits);
      const Allocation got = allocate(items, limits);
      ASSERT_TRUE(got.is_feasible());
      EXPECT_LE(got.bytes, bytes);
      EXPECT_LE(got.loss, 1.0001 * best) << "seed " << seed << " bytes " << bytes;
    }
  }
}

TEST(Allocate, KeepsToBothLimits) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const Items items = random_items(7, seed);
    const AllocationLimits limits{4600, 0.42};
    const double best = brute_force(items, limits);
    const Allocation got = allocate(items, limits);
    ASSERT_TRUE(got.is_feasible());
    EXPECT_LE(got.bytes, limits.bytes);
    EXPECT_LE(got.seconds, limits.seconds);
    EXPECT_LE(got.loss, 1.5 * best);
  }
}

TEST(Allocate, TakesTheLeastLossWhenEverythingFits) {
  const Items items = random_items(30, 5);
  const Allocation got = allocate(items, {1'000'000, 0});
  double least = 0;
  for (const auto& options : items) {
    double best = std::numeric_limits<double>::infinity();
    for (const auto& option : options) best = std::min(best, option.loss);
    least += best;
  }
  EXPECT_DOUBLE_EQ(got.loss, least);
}

TEST(Allocate, SaysWhenNothingFits) {
  EXPECT_FALSE(allocate(random_items(5, 1), {1999, 0}).is_feasible());
  EXPECT_FALSE(allocate(random_items(5, 1), {100'000, 0.1}).is_feasible());
}

}  // namespace
}  // namespace paring::shrink
