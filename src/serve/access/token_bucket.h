// SPDX-License-Identifier: Apache-2.0
// A token bucket: so many a minute, evenly, with a minute's worth saved up at most (and at first).
// Time comes from a monotonic clock, so that a step of the wall clock changes nothing. Confined to
// one thread.
#pragma once

#include <algorithm>
#include <cstdint>

namespace paring::serve {

class TokenBucket {
 public:
  // `now`: monotonic seconds, as everywhere here.
  TokenBucket(std::int64_t per_minute, double now) noexcept
      : capacity_(static_cast<double>(per_minute)), level_(capacity_), at_(now) {}

  // A new rate; what was saved up stays, as far as it fits.
  void set_rate(std::int64_t per_minute, double now) noexcept {
    refill(now);
    capacity_ = static_cast<double>(per_minute);
    level_ = std::min(level_, capacity_);
  }
  // Whether there were `count`; they are taken then.
  bool take(std::int64_t count, double now) noexcept {
    refill(now);
    if (level_ < static_cast<double>(count)) return false;
    level_ -= static_cast<double>(count);
    return true;
  }
  void give_back(std::int64_t count, double now) noexcept {
    refill(now);
    level_ = std::min(capacity_, level_ + static_cast<double>(count));
  }
  // Until there are `count`, or for more than the capacity until it is full.
  double seconds_until(std::int64_t count, double now) noexcept {
    refill(now);
    const double wanted = std::min(static_cast<double>(count), capacity_);
    return std::max(0.0, wanted - level_) * 60 / capacity_;
  }
  std::int64_t capacity() const noexcept { return static_cast<std::int64_t>(capacity_); }
  std::int64_t remaining(double now) noexcept {
    refill(now);
    return static_cast<std::int64_t>(level_);
  }

 private:
  void refill(double now) noexcept {
    level_ = std::min(capacity_, level_ + std::max(0.0, now - at_) * capacity_ / 60);
    at_ = std::max(at_, now);
  }

  double capacity_;
  double level_;
  double at_;
};

}  // namespace paring::serve
