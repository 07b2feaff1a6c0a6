// SPDX-License-Identifier: Apache-2.0
// Metric cells: what running code writes. Lock-free, no names or text on the hot path; an exporter
// reads them through metric_rows(). To add a metric, add a row to metrics.def. Thread-safe.
//
//   metrics().prompt_tokens.add(batch.tokens);
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <vector>

namespace paring {

// Only grows.
class Counter {
 public:
  void add(std::uint64_t amount = 1) noexcept {
    value_.fetch_add(amount, std::memory_order_relaxed);
  }
  std::uint64_t value() const noexcept { return value_.load(std::memory_order_relaxed); }

 private:
  alignas(64) std::atomic<std::uint64_t> value_{0};  // its own cache line: many threads add
};

class Gauge {
 public:
  void set(double value) noexcept { value_.store(value, std::memory_order_relaxed); }
  void add(double amount) noexcept;
  double value() const noexcept { return value_.load(std::memory_order_relaxed); }

 private:
  alignas(64) std::atomic<double> value_{0};
};

// Counts of observations at most each bound (as Prometheus' `le`), the last bucket being +Inf.
class Histogram {
 public:
  // REQUIRES: bounds ascend.
  explicit Histogram(std::initializer_list<double> bounds);
  // NaN is not counted.
  void observe(double value) noexcept;

  std::span<const double> bounds() const noexcept { return bounds_; }
  // Of one bucket, not cumulative. REQUIRES: bucket <= bounds().size().
  std::uint64_t bucket_count(std::size_t bucket) const noexcept;
  std::uint64_t count() const noexcept;
  double sum() const noexcept { return sum_.load(std::memory_order_relaxed); }

 private:
  std::vector<double> bounds_;
  std::vector<std::atomic<std::uint64_t>> counts_;
  std::atomic<double> sum_{0};
};

struct Metrics {
#define PARING_COUNTER(cell, name, help) Counter cell;
#define PARING_GAUGE(cell, name, help) Gauge cell;
#define PARING_HISTOGRAM(cell, name, help, ...) Histogram cell{__VA_ARGS__};
#include "base/metrics.def"
#undef PARING_COUNTER
#undef PARING_GAUGE
#undef PARING_HISTOGRAM
};

// The process's cells.
Metrics& metrics() noexcept;

// One row of the list; exactly one of the three pointers is set.
struct MetricRow {
  const char* name;
  const char* help;
  const Counter* counter = nullptr;
  const Gauge* gauge = nullptr;
  const Histogram* histogram = nullptr;
};
std::vector<MetricRow> metric_rows(const Metrics& cells);

}  // namespace paring
