// SPDX-License-Identifier: Apache-2.0
#include "base/random.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <vector>

namespace paring {
namespace {

// Known answers for philox4x32-10 as distributed with the authors' Random123 library.
TEST(Philox, KnownAnswers) {
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}),
            (PhiloxCounter{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
            (PhiloxCounter{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (PhiloxCounter{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(RandomStream, DependsOnItsPlaceAlone) {
  RandomStream first({.seed = 7, .sequence = 9, .position = 3});
  RandomStream other({.seed = 7, .sequence = 9, .position = 4});
  std::vector<std::uint32_t> values;
  for (int i = 0; i < 9; ++i) {
    values.push_back(first.next_u32());
    other.next_u32();
  }
  RandomStream again({.seed = 7, .sequence = 9, .position = 3});
  for (const std::uint32_t value : values) EXPECT_EQ(again.next_u32(), value);
}

TEST(RandomStream, EveryPartOfThePlaceMatters) {
  const RandomPlace places[] = {
      {1, 0, 0}, {std::uint64_t{1} << 32, 0, 0}, {0, 1, 0}, {0, 1ull << 32, 0}, {0, 0, 1},
      {0, 0, 0},
  };
  std::set<std::uint32_t> firsts;
  for (const RandomPlace& place : places) firsts.insert(RandomStream(place).next_u32());
  EXPECT_EQ(firsts.size(), std::size(places));
}

TEST(RandomStream, UniformHasTheRightRangeMeanAndVariance) {
  RandomStream stream({.seed = 1});
  constexpr int kDraws = 100000;
  double sum = 0;
  double squares = 0;
  for (int i = 0; i < kDraws; ++i) {
    const double u = i % 2 == 0 ? stream.uniform() : static_cast<double>(stream.uniform_float());
    ASSERT_GE(u, 0.0);
    ASSERT_LT(u, 1.0);
    sum += u;
    squares += u * u;
  }
  const double mean = sum / kDraws;
  EXPECT_NEAR(mean, 0.5, 0.004);  // 4 standard errors: 0.0037
  EXPECT_NEAR(squares / kDraws - mean * mean, 1.0 / 12, 0.001);
}

TEST(RandomStream, BelowIsEvenOverItsRange) {
  RandomStream stream({.seed = 2});
  std::vector<int> counts(7, 0);
  for (int i = 0; i < 70000; ++i) {
    const std::uint32_t value = stream.below(7);
    ASSERT_LT(value, 7u);
    ++counts[value];
  }
  for (const int count : counts) EXPECT_NEAR(count, 10000, 400);
  EXPECT_EQ(stream.below(1), 0u);
}

TEST(RandomStream, NormalHasMeanZeroAndVarianceOne) {
  RandomStream stream({.seed = 3});
  constexpr int kDraws = 100000;
  double sum = 0;
  double squares = 0;
  for (int i = 0; i < kDraws; ++i) {
    const double value = stream.normal();
    ASSERT_TRUE(std::isfinite(value));
    sum += value;
    squares += value * value;
  }
  EXPECT_NEAR(sum / kDraws, 0.0, 0.013);
  EXPECT_NEAR(squares / kDraws, 1.0, 0.02);
}

}  // namespace
}  // namespace paring
