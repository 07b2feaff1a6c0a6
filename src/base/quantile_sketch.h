// SPDX-License-Identifier: Apache-2.0
// Quantiles of any number of durations in little memory: counts of values in bins whose bounds grow
// by a constant factor (Masson, Rim, Lee: "DDSketch", PVLDB 12, 2019, section 2). A quantile is
// within 1 % of the value that has that rank. Merging is exact: the merged sketch is the one that
// would have seen all values, in whatever order and grouping. Belongs to one thread at a time.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"

namespace paring {

class QuantileSketch {
 public:
  static constexpr double kRelativeError = 0.01;
  // Smaller values count as 0, larger ones as the largest: it has at most 2100 bins.
  static constexpr double kSmallest = 1e-9;
  static constexpr double kLargest = 1e9;

  // NaN is not counted.
  void add(double value, std::uint64_t times = 1);
  void merge(const QuantileSketch& other);
  // Merges what encode() gave. Corrupt: it is something else; then nothing was merged.
  Result<void> merge_encoded(std::span<const std::uint8_t> bytes);

  std::uint64_t count() const noexcept { return count_; }
  // The value of rank q * (count - 1), rounded down, of the values in order; nothing when there are
  // none. REQUIRES: 0 <= q <= 1.
  std::optional<double> quantile(double q) const;
  // How many values are at most `value`; of those within 2 % of it either way some may be counted
  // that are larger.
  std::uint64_t count_to(double value) const;

  // Two to three bytes for each bin that holds something.
  std::vector<std::uint8_t> encode() const;

  bool operator==(const QuantileSketch& other) const;

 private:
  // The bin of `index`, made when there is none.
  std::uint64_t& bin(int index);

  std::uint64_t count_ = 0;
  std::uint64_t zeros_ = 0;  // not in a bin
  int first_ = 0;            // index of bins_[0]
  std::vector<std::uint64_t> bins_;
};

}  // namespace paring
