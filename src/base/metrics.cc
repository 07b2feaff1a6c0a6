// SPDX-License-Identifier: Apache-2.0
#include "base/metrics.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace paring {
namespace {

// atomic<double>::fetch_add is C++20 but compiles to this loop anyway; written out it is clear that
// it is lock-free on every target.
void add_to(std::atomic<double>& cell, double amount) noexcept {
  double seen = cell.load(std::memory_order_relaxed);
  while (!cell.compare_exchange_weak(seen, seen + amount, std::memory_order_relaxed)) {
  }
}

}  // namespace

void Gauge::add(double amount) noexcept { add_to(value_, amount); }

Histogram::Histogram(std::initializer_list<double> bounds)
    : bounds_(bounds), counts_(bounds.size() + 1) {
  PARING_CHECK(std::is_sorted(bounds_.begin(), bounds_.end()), "histogram bounds must ascend");
}

void Histogram::observe(double value) noexcept {
  if (std::isnan(value)) return;
  const auto place = std::lower_bound(bounds_.begin(), bounds_.end(), value) - bounds_.begin();
  counts_[static_cast<std::size_t>(place)].fetch_add(1, std::memory_order_relaxed);
  add_to(sum_, value);
}

std::uint64_t Histogram::bucket_count(std::size_t bucket) const noexcept {
  PARING_DCHECK(bucket < counts_.size(), "no such bucket");
  return counts_[bucket].load(std::memory_order_relaxed);
}

std::uint64_t Histogram::count() const noexcept {
  std::uint64_t total = 0;
  for (const auto& cell : counts_) total += cell.load(std::memory_order_relaxed);
  return total;
}

Metrics& metrics() noexcept {
  static Metrics cells;
  return cells;
}

std::vector<MetricRow> metric_rows(const Metrics& cells) {
  std::vector<MetricRow> rows;
#define PARING_COUNTER(cell, name, help) \
  rows.push_back({name, help, &cells.cell, nullptr, nullptr});
#define PARING_GAUGE(cell, name, help) rows.push_back({name, help, nullptr, &cells.cell, nullptr});
#define PARING_HISTOGRAM(cell, name, help, ...) \
  rows.push_back({name, help, nullptr, nullptr, &cells.cell});
#include "base/metrics.def"
#undef PARING_COUNTER
#undef PARING_GAUGE
#undef PARING_HISTOGRAM
  return rows;
}

}  // namespace paring
