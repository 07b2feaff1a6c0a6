// SPDX-License-Identifier: Apache-2.0
#include "shrink/allocate.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace paring::shrink {

namespace {

using Items = std::span<const std::vector<AllocationOption>>;

Allocation evaluate(Items items, std::vector<std::size_t> choice) {
  Allocation result;
  for (std::size_t i = 0; i < items.size(); ++i) {
    const AllocationOption& option = items[i][choice[i]];
    result.loss += option.loss;
    result.bytes += option.bytes;
    result.seconds += option.seconds;
  }
  result.choice = std::move(choice);
  return result;
}

bool fits(const Allocation& allocation, const AllocationLimits& limits) {
  return allocation.bytes <= limits.bytes &&
         (limits.seconds == 0 || allocation.seconds <= limits.seconds);
}

// Least loss + second_price * seconds within the byte limit, by dynamic programming over the bytes
// beyond every item's smallest option, in kBuckets steps. They are rounded up to steps, so the
// result always fits; the exchanges afterwards use what the rounding left. Empty only when the
// smallest options together do not fit.
Allocation least_cost(Items items, const AllocationLimits& limits, double second_price) {
  constexpr std::uint64_t kBuckets = 65'536;
  constexpr double kNone = std::numeric_limits<double>::infinity();
  std::vector<std::uint64_t> least(items.size(), std::numeric_limits<std::uint64_t>::max());
  std::uint64_t least_sum = 0;
  for (std::size_t i = 0; i < items.size(); ++i) {
    for (const AllocationOption& option : items[i]) least[i] = std::min(least[i], option.bytes);
    least_sum += least[i];
  }
  if (least_sum > limits.bytes) return {};
  const std::uint64_t room = limits.bytes - least_sum;
  const std::uint64_t unit = std::max<std::uint64_t>(1, (room + kBuckets - 1) / kBuckets);
  const std::size_t capacity = room / unit;
  const auto steps_of = [&](std::size_t i, const AllocationOption& option) {
    return (option.bytes - least[i] + unit - 1) / unit;
  };
  // best[b]: least cost of the items so far in at most b steps.
  std::vector<double> best(capacity + 1, 0.0);
  std::vector<std::vector<std::uint8_t>> taken(items.size());
  for (std::size_t i = 0; i < items.size(); ++i) {
    std::vector<double> next(capacity + 1, kNone);
    taken[i].assign(capacity + 1, 0);
    for (std::size_t o = 0; o < items[i].size(); ++o) {
      const AllocationOption& option = items[i][o];
      const std::uint64_t steps = steps_of(i, option);
      const double cost = option.loss + second_price * option.seconds;
      for (std::size_t b = steps; b <= capacity; ++b) {
        if (best[b - steps] + cost < next[b]) {
          next[b] = best[b - steps] + cost;
          taken[i][b] = static_cast<std::uint8_t>(o);
        }
      }
    }
    best = std::move(next);
  }
  std::vector<std::size_t> choice(items.size());
  std::size_t left = capacity;
  for (std::size_t i = items.size(); i-- > 0;) {
    choice[i] = taken[i][left];
    left -= steps_of(i, items[i][choice[i]]);
  }
  return evaluate(items, std::move(choice));
}

// One change of one or two items that lowers the loss and still fits; false when there is none.
bool exchange(Items items, const AllocationLimits& limits, Allocation& current) {
  constexpr double kGainMin = 1e-15;
  double best_gain = kGainMin;
  std::vector<std::size_t> best;
  const auto consider = [&](std::size_t i, std::size_t oi, std::size_t j, std::size_t oj) {
    const AllocationOption& from_i = items[i][current.choice[i]];
    const AllocationOption& to_i = items[i][oi];
    const AllocationOption& from_j = items[j][current.choice[j]];
    const AllocationOption& to_j = items[j][oj];
    const bool is_pair = i != j;
    const double gain = from_i.loss - to_i.loss + (is_pair ? from_j.loss - to_j.loss : 0.0);
    if (gain <= best_gain) return;
    const std::uint64_t bytes =
        current.bytes - from_i.bytes + to_i.bytes + (is_pair ? to_j.bytes - from_j.bytes : 0);
    const double seconds = current.seconds - from_i.seconds + to_i.seconds +
                           (is_pair ? to_j.seconds - from_j.seconds : 0.0);
    if (bytes > limits.bytes || (limits.seconds != 0 && seconds > limits.seconds)) return;
    best_gain = gain;
    best = {i, oi, j, oj};
  };
  for (std::size_t i = 0; i < items.size(); ++i) {
    for (std::size_t oi = 0; oi < items[i].size(); ++oi) {
      // Only changes that gain by themselves can lead: the other half of a pair pays for them.
      if (items[i][oi].loss >= items[i][current.choice[i]].loss) continue;
      consider(i, oi, i, oi);
      for (std::size_t j = 0; j < items.size(); ++j) {
        if (j == i) continue;
        for (std::size_t oj = 0; oj < items[j].size(); ++oj) consider(i, oi, j, oj);
      }
    }
  }
  if (best.empty()) return false;
  std::vector<std::size_t> choice = current.choice;
  choice[best[0]] = best[1];
  choice[best[2]] = best[3];
  current = evaluate(items, std::move(choice));
  return true;
}

}  // namespace

Allocation allocate(Items items, const AllocationLimits& limits) {
  constexpr int kExchangesMax = 400;
  constexpr double kSecondPriceMax = 1e12;
  Allocation current = least_cost(items, limits, 0.0);
  if (limits.seconds != 0) {
    // Steps of a quarter: the price overshoots what is needed by little, exchanges mend the rest.
    double price = 1e-6;
    while (current.is_feasible() && !fits(current, limits) && price < kSecondPriceMax) {
      price *= 1.25;
      current = least_cost(items, limits, price);
    }
  }
  if (!current.is_feasible() || !fits(current, limits)) return {};
  for (int i = 0; i < kExchangesMax && exchange(items, limits, current); ++i) {
  }
  return current;
}

}  // namespace paring::shrink
