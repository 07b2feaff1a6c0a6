// SPDX-License-Identifier: Apache-2.0
// Statistics of two sides of a trial: sums that grow, and what they say about the difference. Pure
// functions and values, in double.
#pragma once

#include <cstdint>
#include <optional>

namespace paring::serve {

// The mean of values, or where each comes with a weight, the sum of values over that of weights.
class RatioMean {
 public:
  void add(double value, double weight = 1) noexcept;
  std::int64_t count() const noexcept { return count_; }
  double mean() const noexcept;
  // Of the mean of values that came without weights; 0 for fewer than two.
  double standard_error() const noexcept;
  // Of the logarithm of mean(), to first order. REQUIRES: count() > 1 and mean() > 0.
  double log_variance() const noexcept;

 private:
  std::int64_t count_ = 0;
  double value_mean_ = 0;
  double weight_mean_ = 0;
  double value_squares_ = 0;  // sums of squares and products about the means
  double weight_squares_ = 0;
  double products_ = 0;
};

// One-sided confidence, as the quantile of a normal distribution has it.
inline constexpr double kAtEnd = 1.6449;   // 0.95
inline constexpr double kAtLook = 3.0902;  // 0.999

// The quantile of Student's t distribution that belongs to `normal`, to four terms (Abramowitz and
// Stegun 26.7.5): within 1 % from 8 degrees on. REQUIRES: degrees > 0.
double student_quantile(double normal, double degrees) noexcept;

// after.mean() / before.mean(), with the ends that it lies between, each but for the probability
// of `normal`; of the ratio's logarithm by first order, as of the smaller side's degrees.
struct RatioInterval {
  double ratio = 1;
  double low = 0;
  double high = 0;
};
// Where all values after are 0, the higher end is what 19 of 20 would show if so many were as
// before: 3 / n. nullopt: fewer than two values on a side, or a mean before that is not above 0.
std::optional<RatioInterval> ratio_of(const RatioMean& before, const RatioMean& after,
                                      double normal) noexcept;

// Fisher's exact test, one-sided: how probable so many failures of the second side or more are,
// when both fail equally often and as many fail altogether. 1 for no requests.
double failure_p(std::int64_t first_failed, std::int64_t first_count, std::int64_t second_failed,
                 std::int64_t second_count) noexcept;

}  // namespace paring::serve
