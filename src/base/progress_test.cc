// SPDX-License-Identifier: Apache-2.0
#include "base/progress.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace paring {
namespace {

class ProgressTest : public testing::Test {
 protected:
  std::unique_ptr<ProgressSink> make(ProgressStyle style) {
    return make_progress({.style = style, .clock = &clock_, .write = [this](std::string_view text) {
                            written_.emplace_back(text);
                          }});
  }
  FakeClock clock_;
  std::vector<std::string> written_;
};

TEST_F(ProgressTest, LinesComeEveryTenSecondsAndAtTheEnd) {
  auto progress = make(ProgressStyle::kLines);
  progress->begin("measuring", 100);
  for (int i = 0; i < 100; ++i) {
    clock_.advance(0.25);
    progress->advance();
  }
  progress->end();
  ASSERT_EQ(written_.size(), 3u);
  EXPECT_EQ(written_[0], "measuring:  40%, 40 of 100, 15.0 s left\n");
  EXPECT_EQ(written_[1], "measuring:  80%, 80 of 100, 5.0 s left\n");
  EXPECT_EQ(written_[2], "measuring: 100 in 25.0 s\n");
}

TEST_F(ProgressTest, AFirstUnitThatPreparesTheOthersDoesNotFrighten) {
  auto progress = make(ProgressStyle::kLines);
  progress->begin("sensitivity", 58);
  clock_.advance(30);
  progress->advance();
  EXPECT_EQ(written_.back(), "sensitivity:   2%, 1 of 58\n");
  for (int i = 0; i < 10; ++i) {
    clock_.advance(1);
    progress->advance();
  }
  EXPECT_EQ(written_.back(), "sensitivity:  19%, 11 of 58, 47.0 s left\n");
}

TEST_F(ProgressTest, OneSlowUnitDoesNotThrowTheEstimateAbout) {
  auto progress = make(ProgressStyle::kLines);
  progress->begin("x", 100);
  const auto step = [&](double seconds) {
    clock_.advance(seconds);
    progress->advance();
  };
  for (int i = 0; i < 20; ++i) step(1);
  ASSERT_NE(written_.back().find("1 min 20 s left"), std::string::npos) << written_.back();
  step(21);  // as much as all before it: by that alone 2 min 40 s would be left
  EXPECT_NE(written_.back().find("1 min 3"), std::string::npos) << written_.back();
}

TEST_F(ProgressTest, APrefixTellsPiecesApart) {
  auto progress = make(ProgressStyle::kLines);
  const auto check = prefixed_progress(*progress, "check");
  check->begin("divergence", 2);
  clock_.advance(11);
  check->advance(2);
  check->end();
  EXPECT_EQ(written_.front(), "check: divergence: 100%, 2 of 2\n");
}

TEST_F(ProgressTest, BarIsRedrawnAtMostTenTimesASecond) {
  auto progress = make(ProgressStyle::kBar);
  progress->begin("packing", 4'000'000, ProgressUnit::kBytes);
  for (int i = 0; i < 1000; ++i) {
    clock_.advance(0.001);
    progress->advance(2000);
  }
  ASSERT_GE(written_.size(), 9u);
  ASSERT_LE(written_.size(), 11u);
  EXPECT_EQ(written_.front(), "\rpacking: [........................]   0%, 0 B of 4.0 MB\x1b[K");
  EXPECT_NE(written_.back().find("[#########"), std::string::npos);
  for (const std::string& text : written_) EXPECT_EQ(text.front(), '\r');
  progress->end();
  EXPECT_EQ(written_.back(), "\r\x1b[Kpacking: 2.0 MB in 1.0 s\n");
}

TEST_F(ProgressTest, AnUnknownTotalShowsTheCount) {
  auto progress = make(ProgressStyle::kLines);
  progress->begin("reading", 0);
  clock_.advance(11);
  progress->advance(5);
  EXPECT_EQ(written_.back(), "reading: 5, 11.0 s\n");
}

TEST_F(ProgressTest, MoreWorkThanAnnouncedStaysAtAHundredPercent) {
  auto progress = make(ProgressStyle::kLines);
  progress->begin("x", 2);
  clock_.advance(20);
  progress->advance(5);
  EXPECT_EQ(written_.back(), "x: 100%, 5 of 2\n");
}

TEST_F(ProgressTest, BeginEndsThePieceBeforeAndTheDestructorTheLast) {
  {
    auto progress = make(ProgressStyle::kLines);
    progress->begin("one", 1);
    progress->begin("two\x1b", 1);
    progress->advance();
  }
  ASSERT_EQ(written_.size(), 2u);
  EXPECT_EQ(written_[0], "one: 0 in 0 ms\n");
  EXPECT_EQ(written_[1], "two\\x1b: 1 in 0 ms\n");
}

TEST_F(ProgressTest, SilentWritesNothing) {
  auto progress = make(ProgressStyle::kSilent);
  progress->begin("x", 1);
  clock_.advance(100);
  progress->advance();
  progress->end();
  silent_progress().begin("x", 1);
  silent_progress().end();
  EXPECT_TRUE(written_.empty());
  EXPECT_EQ(progress_style(true), ProgressStyle::kSilent);
}

TEST(Clock, FakeClockMovesOnlyWhenTold) {
  FakeClock clock(1'000'000);
  EXPECT_EQ(clock.monotonic_seconds(), 0);
  clock.advance(2.5);
  EXPECT_EQ(clock.monotonic_seconds(), 2.5);
  EXPECT_EQ(clock.wall_seconds(), 1'000'002.5);
}

TEST(Clock, SystemClockGoesForward) {
  const double first = system_clock().monotonic_seconds();
  EXPECT_GE(system_clock().monotonic_seconds(), first);
  EXPECT_GT(system_clock().wall_seconds(), 1.7e9);  // after 2023
}

TEST(Clock, UtcText) {
  EXPECT_EQ(format_utc(0), "1970-01-01T00:00:00Z");
  EXPECT_EQ(format_utc(1'709'164'799.9), "2024-02-28T23:59:59Z");
  EXPECT_EQ(format_utc(1'709'164'800), "2024-02-29T00:00:00Z");
}

}  // namespace
}  // namespace paring
