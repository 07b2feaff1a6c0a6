// SPDX-License-Identifier: Apache-2.0
#include "base/quantile_sketch.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/random.h"
#include "base/varint.h"

namespace paring {
namespace {

// Durations of very different sizes.
double duration(RandomStream& random) { return std::exp(random.normal() * 3 - 4); }

TEST(Varint, EveryLengthComesBack) {
  for (int bits = 0; bits < 64; ++bits) {
    for (const std::uint64_t value : {std::uint64_t{1} << bits, (std::uint64_t{1} << bits) - 1}) {
      std::vector<std::uint8_t> bytes;
      append_varint(bytes, value);
      std::span<const std::uint8_t> rest = bytes;
      EXPECT_EQ(take_varint(rest), value);
      EXPECT_TRUE(rest.empty());
      rest = std::span(bytes).first(bytes.size() - 1);
      EXPECT_FALSE(take_varint(rest).has_value());
    }
  }
  for (const std::int64_t value :
       {std::int64_t{0}, std::int64_t{-1}, std::int64_t{77},
        std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max()}) {
    EXPECT_EQ(unzigzag(zigzag(value)), value);
  }
  EXPECT_EQ(zigzag(-2), 3U);
}

TEST(Varint, MoreThanSixtyFourBitsIsNone) {
  const std::vector<std::uint8_t> bytes(11, 0xff);
  std::span<const std::uint8_t> rest = bytes;
  EXPECT_FALSE(take_varint(rest).has_value());
}

TEST(QuantileSketch, IsWithinOnePercentOfTheExactValue) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    RandomStream random({.seed = seed});
    std::vector<double> values(1 + random.below(3000));
    QuantileSketch sketch;
    for (double& value : values) {
      value = duration(random);
      sketch.add(value);
    }
    std::ranges::sort(values);
    for (const double q : {0.0, 0.01, 0.5, 0.9, 0.95, 0.99, 1.0}) {
      const double exact =
          values[static_cast<std::size_t>(q * static_cast<double>(values.size() - 1))];
      EXPECT_NEAR(*sketch.quantile(q), exact, 0.010001 * exact) << "seed " << seed << " q " << q;
    }
  }
}

TEST(QuantileSketch, MergingInAnyGroupingIsSeeingAll) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    RandomStream random({.seed = seed});
    QuantileSketch all;
    std::vector<QuantileSketch> parts(1 + random.below(8));
    for (int i = 0; i < 2000; ++i) {
      const double value = random.below(10) == 0 ? 0 : duration(random);
      all.add(value);
      parts[random.below(static_cast<std::uint32_t>(parts.size()))].add(value);
    }
    QuantileSketch forward;
    for (const QuantileSketch& part : parts) forward.merge(part);
    QuantileSketch backward;
    for (auto part = parts.rbegin(); part != parts.rend(); ++part) {
      ASSERT_TRUE(backward.merge_encoded(part->encode()).has_value());
    }
    EXPECT_EQ(forward, all);
    EXPECT_EQ(backward, all);
    EXPECT_EQ(backward.count(), 2000U);
    EXPECT_EQ(backward.quantile(0.95), all.quantile(0.95));
  }
}

TEST(QuantileSketch, OddValuesAreBounded) {
  QuantileSketch sketch;
  EXPECT_FALSE(sketch.quantile(0.5).has_value());
  sketch.add(std::nan(""));
  EXPECT_EQ(sketch.count(), 0U);
  sketch.add(-1);
  sketch.add(0);
  EXPECT_EQ(sketch.quantile(1), 0.0);
  sketch.add(std::numeric_limits<double>::infinity());
  EXPECT_NEAR(*sketch.quantile(1), QuantileSketch::kLargest, 0.011 * QuantileSketch::kLargest);
  sketch.add(1e-300);
  sketch.add(QuantileSketch::kSmallest);
  QuantileSketch read;
  ASSERT_TRUE(read.merge_encoded(sketch.encode()).has_value());
  EXPECT_EQ(read, sketch);
}

TEST(QuantileSketch, CountsValuesUpToABound) {
  RandomStream random({.seed = 11});
  QuantileSketch sketch;
  std::vector<double> values;
  for (int i = 0; i < 5000; ++i) {
    values.push_back(duration(random));
    sketch.add(values.back());
  }
  sketch.add(0, 7);
  const auto counted = [&](double bound) {
    return 7 + static_cast<std::uint64_t>(
                   std::ranges::count_if(values, [&](double each) { return each <= bound; }));
  };
  for (const double bound : {1e-9, 1e-4, 0.003, 0.1, 1.0, 20.0, 1e12}) {
    EXPECT_GE(sketch.count_to(bound), counted(bound)) << bound;
    EXPECT_LE(sketch.count_to(bound), counted(bound * 1.021)) << bound;
  }
  EXPECT_EQ(sketch.count_to(0), 7U);
  EXPECT_EQ(sketch.count_to(-1), 0U);
  EXPECT_EQ(sketch.count_to(1e12), 5007U);
  EXPECT_EQ(QuantileSketch().count_to(1), 0U);
}

TEST(QuantileSketch, ForeignBytesAreCorruptAndChangeNothing) {
  RandomStream random({.seed = 5});
  QuantileSketch good;
  for (int i = 0; i < 200; ++i) good.add(duration(random));
  const std::vector<std::uint8_t> bytes = good.encode();
  QuantileSketch before;
  before.add(1);
  QuantileSketch sketch = before;
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    ASSERT_FALSE(sketch.merge_encoded(std::span(bytes).first(size)).has_value()) << size;
    ASSERT_EQ(sketch, before);
  }
  for (int round = 0; round < 2000; ++round) {
    std::vector<std::uint8_t> damaged = bytes;
    damaged[random.below(static_cast<std::uint32_t>(damaged.size()))] =
        static_cast<std::uint8_t>(random.below(256));
    // Whether it is refused or not, it ends and stays small.
    (void)QuantileSketch().merge_encoded(damaged);
  }
  const std::vector<std::uint8_t> huge(1000, 0xff);
  EXPECT_FALSE(sketch.merge_encoded(huge).has_value());
}

}  // namespace
}  // namespace paring
