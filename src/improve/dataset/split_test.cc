// SPDX-License-Identifier: Apache-2.0
#include "improve/dataset/split.h"

#include <gtest/gtest.h>

namespace paring::improve {
namespace {

TEST(ParseSplit, TakesSharesThatAddUp) {
  const auto split = parse_split("train=0.8,dev=0.1,test=0.1");
  ASSERT_TRUE(split) << split.error().text();
  ASSERT_EQ(split->size(), 3U);
  EXPECT_EQ((*split)[1].name, "dev");
  EXPECT_DOUBLE_EQ((*split)[2].share, 0.1);
  EXPECT_TRUE(parse_split("train=1"));
}

TEST(ParseSplit, SaysWhatIsWrong) {
  for (const char* text : {"", "train", "train=", "=1", "train=x", "train=0.5",
                           "train=0.5,test=0.6", "train=0.5,train=0.5", "train=1,test=0", "../x=1",
                           "sources=1", "a=-1", "train=nan", "train=0.9,test=0.1,", "Train=1"}) {
    const auto split = parse_split(text);
    ASSERT_FALSE(split) << text;
    EXPECT_EQ(split.error().code, ErrorCode::kInvalidArgument);
    EXPECT_FALSE(split.error().hint.empty());
  }
}

TEST(PlaceOf, IsEvenAndTheSameEachTime) {
  const auto split = parse_split("train=0.9,test=0.1");
  std::vector<std::size_t> counts(2);
  for (int i = 0; i < 10'000; ++i) ++counts[part_at(*split, place_of(std::to_string(i)))];
  // Six standard deviations of a binomial.
  EXPECT_NEAR(static_cast<double>(counts[1]), 1000, 180);
  // Written down: what was in a part stays there in every version of the program.
  EXPECT_DOUBLE_EQ(place_of("a"), static_cast<double>(0xca978112ca1bbdU >> 3U) * 0x1p-53);
  EXPECT_EQ(part_at(*split, 0.89999), 0U);
  EXPECT_EQ(part_at(*split, 0.99999), 1U);
}

TEST(Groups, WhatSharesAKeyIsOneSet) {
  Groups groups;
  for (int i = 0; i < 5; ++i) groups.add();
  groups.unite_by("session a", 0);
  groups.unite_by("session a", 3);
  groups.unite_by("prompt p", 3);
  groups.unite_by("prompt p", 4);
  EXPECT_EQ(groups.set_of(4), 0U);
  EXPECT_EQ(groups.set_of(1), 1U);
  EXPECT_NE(groups.set_of(2), groups.set_of(1));
  groups.unite(4, 1);
  EXPECT_EQ(groups.set_of(1), 0U);
}

}  // namespace
}  // namespace paring::improve
