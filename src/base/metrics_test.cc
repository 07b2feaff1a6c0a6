// SPDX-License-Identifier: Apache-2.0
#include "base/metrics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <regex>
#include <set>
#include <string>
#include <thread>

namespace paring {
namespace {

TEST(Metrics, CellsLoseNothingUnderThreads) {
  Counter counter;
  Gauge gauge;
  Histogram histogram({1, 2});
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 10000; ++i) {
        counter.add(2);
        gauge.add(0.5);
        histogram.observe(1.5);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(counter.value(), 80000u);
  EXPECT_EQ(gauge.value(), 20000.0);
  EXPECT_EQ(histogram.count(), 40000u);
  EXPECT_EQ(histogram.sum(), 60000.0);
}

TEST(Histogram, BoundsBelongToTheirBucket) {
  Histogram histogram({1, 10});
  for (double value : {0.5, 1.0, 1.0001, 10.0, 11.0, HUGE_VAL, -3.0}) histogram.observe(value);
  EXPECT_EQ(histogram.bucket_count(0), 3u);
  EXPECT_EQ(histogram.bucket_count(1), 2u);
  EXPECT_EQ(histogram.bucket_count(2), 2u);
  histogram.observe(NAN);
  EXPECT_EQ(histogram.count(), 7u);
}

TEST(Metrics, RowsAreUniqueValidAndPointAtTheirCells) {
  Metrics cells;
  cells.generation_tokens.add(3);
  const std::regex valid("([a-z_]+:[a-z][a-z0-9_]*)([{][a-z_]+=\"[a-z_]+\"[}])?");
  std::set<std::string> names;
  bool is_found = false;
  for (const MetricRow& row : metric_rows(cells)) {
    EXPECT_TRUE(names.insert(row.name).second) << row.name;
    std::cmatch parts;
    ASSERT_TRUE(std::regex_match(row.name, parts, valid)) << row.name;
    EXPECT_FALSE(std::string(row.help).empty()) << row.name;
    const int kinds =
        (row.counter != nullptr) + (row.gauge != nullptr) + (row.histogram != nullptr);
    EXPECT_EQ(kinds, 1) << row.name;
    // The exposition format wants counters to end so; vLLM has one histogram whose name does.
    if (parts[1].str() != "vllm:iteration_tokens_total") {
      EXPECT_EQ(row.counter != nullptr, parts[1].str().ends_with("_total")) << row.name;
    }
    if (std::string(row.name) == "vllm:generation_tokens_total") {
      is_found = true;
      EXPECT_EQ(row.counter->value(), 3u);
    }
  }
  EXPECT_TRUE(is_found);
}

}  // namespace
}  // namespace paring
