// SPDX-License-Identifier: Apache-2.0
// Time behind an interface, so that tests do not wait and do not depend on the machine's clock.
// Clocks are thread-safe.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

namespace paring {

class Clock {
 public:
  virtual ~Clock() = default;
  // Never goes back; only differences mean something.
  virtual double monotonic_seconds() const noexcept = 0;
  // Since 1970-01-01 UTC; may jump.
  virtual double wall_seconds() const noexcept = 0;
};

// The machine's clocks.
const Clock& system_clock() noexcept;

// Stands still until moved.
class FakeClock final : public Clock {
 public:
  explicit FakeClock(double wall_seconds = 0) noexcept : wall_start_(wall_seconds) {}
  double monotonic_seconds() const noexcept override { return elapsed_.load(); }
  double wall_seconds() const noexcept override { return wall_start_ + elapsed_.load(); }
  void advance(double seconds) noexcept { elapsed_.store(elapsed_.load() + seconds); }

 private:
  double wall_start_;
  std::atomic<double> elapsed_{0};
};

// "2026-11-22T08:05:09Z" for seconds since 1970-01-01 UTC; fractions are dropped.
std::string format_utc(double wall_seconds);

}  // namespace paring
