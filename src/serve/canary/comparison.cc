// SPDX-License-Identifier: Apache-2.0
#include "serve/canary/comparison.h"

#include <algorithm>
#include <cmath>

namespace paring::serve {

namespace {

double log_choose(std::int64_t of, std::int64_t some) {
  const auto log_factorial = [](std::int64_t n) { return std::lgamma(static_cast<double>(n) + 1); };
  return log_factorial(of) - log_factorial(some) - log_factorial(of - some);
}

}  // namespace

void RatioMean::add(double value, double weight) noexcept {
  ++count_;
  const auto n = static_cast<double>(count_);
  const double from_value = value - value_mean_;
  const double from_weight = weight - weight_mean_;
  value_mean_ += from_value / n;
  weight_mean_ += from_weight / n;
  value_squares_ += from_value * (value - value_mean_);
  weight_squares_ += from_weight * (weight - weight_mean_);
  products_ += from_value * (weight - weight_mean_);
}

double RatioMean::mean() const noexcept {
  return weight_mean_ == 0 ? 0 : value_mean_ / weight_mean_;
}

double RatioMean::standard_error() const noexcept {
  if (count_ < 2) return 0;
  const auto n = static_cast<double>(count_);
  return std::sqrt(value_squares_ / ((n - 1) * n));
}

double RatioMean::log_variance() const noexcept {
  const double squares = value_squares_ / (value_mean_ * value_mean_) +
                         weight_squares_ / (weight_mean_ * weight_mean_) -
                         2 * products_ / (value_mean_ * weight_mean_);
  const auto n = static_cast<double>(count_);
  return std::max(0.0, squares) / ((n - 1) * n);
}

double student_quantile(double normal, double degrees) noexcept {
  const double z = normal;
  const double squared = z * z;
  const double first = z * (squared + 1) / 4;
  const double second = z * ((5 * squared + 16) * squared + 3) / 96;
  const double third = z * (((3 * squared + 19) * squared + 17) * squared - 15) / 384;
  const double fourth =
      z * ((((79 * squared + 776) * squared + 1482) * squared - 1920) * squared - 945) / 92160;
  return z + (first + (second + (third + fourth / degrees) / degrees) / degrees) / degrees;
}

std::optional<RatioInterval> ratio_of(const RatioMean& before, const RatioMean& after,
                                      double normal) noexcept {
  const std::int64_t smaller = std::min(before.count(), after.count());
  if (smaller < 2 || !(before.mean() > 0) || !(after.mean() >= 0)) return std::nullopt;
  constexpr double kRuleOfThree = 3;
  if (after.mean() == 0) {
    return RatioInterval{0, 0, kRuleOfThree / static_cast<double>(after.count())};
  }
  const double ratio = after.mean() / before.mean();
  const double reach = student_quantile(normal, static_cast<double>(smaller - 1)) *
                       std::sqrt(before.log_variance() + after.log_variance());
  return RatioInterval{ratio, ratio * std::exp(-reach), ratio * std::exp(reach)};
}

double failure_p(std::int64_t first_failed, std::int64_t first_count, std::int64_t second_failed,
                 std::int64_t second_count) noexcept {
  const std::int64_t failed = first_failed + second_failed;
  const double whole = log_choose(first_count + second_count, failed);
  double p = 0;
  for (std::int64_t k = second_failed; k <= std::min(second_count, failed); ++k) {
    if (failed - k > first_count) continue;
    p += std::exp(log_choose(second_count, k) + log_choose(first_count, failed - k) - whole);
  }
  return std::min(1.0, p);
}

}  // namespace paring::serve
