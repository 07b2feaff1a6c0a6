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

// Every item takes what minimises loss + byte_price * bytes + second_price * seconds.
Allocation at_prices(Items items, double byte_price, double second_price) {
  std::vector<std::size_t> choice(items.size());
  for (std::size_t i = 0; i < items.size(); ++i) {
    double best = std::numeric_limits<double>::infinity();
    for (std::size_t o = 0; o < items[i].size(); ++o) {
      const AllocationOption& option = items[i][o];
      const double cost = option.loss + byte_price * static_cast<double>(option.bytes) +
                          second_price * option.seconds;
      if (cost < best) {
        best = cost;
        choice[i] = o;
      }
    }
  }
  return evaluate(items, std::move(choice));
}

// The least byte price whose choice fits, by bisection of its logarithm.
Allocation least_byte_price(Items items, const AllocationLimits& limits, double second_price) {
  constexpr double kLogPriceMin = -80.0;
  constexpr double kLogPriceMax = 20.0;
  constexpr int kSteps = 60;  // 100 / 2^60: far below any difference that matters
  Allocation free_choice = at_prices(items, 0.0, second_price);
  if (free_choice.bytes <= limits.bytes) return free_choice;
  double low = kLogPriceMin;
  double high = kLogPriceMax;
  for (int step = 0; step < kSteps; ++step) {
    const double middle = 0.5 * (low + high);
    const bool is_enough = at_prices(items, std::exp(middle), second_price).bytes <= limits.bytes;
    (is_enough ? high : low) = middle;
  }
  return at_prices(items, std::exp(high), second_price);
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
  Allocation current = least_byte_price(items, limits, 0.0);
  if (limits.seconds != 0) {
    double price = 1e-9;
    while (!fits(current, limits) && price < kSecondPriceMax) {
      price *= 2.0;
      current = least_byte_price(items, limits, price);
    }
  }
  if (!fits(current, limits)) return {};
  for (int i = 0; i < kExchangesMax && exchange(items, limits, current); ++i) {
  }
  return current;
}

}  // namespace paring::shrink
