// SPDX-License-Identifier: Apache-2.0
#include "shrink/shortfall.h"

#include <gtest/gtest.h>

namespace paring::shrink {
namespace {

TEST(Shortfall, NothingIsSaidOfACompleteSearch) {
  SearchTime time;
  time.limit_seconds = 900;
  time.probes_measured = time.probes_wanted = 211;
  EXPECT_TRUE(shortfall(time).empty());
  EXPECT_EQ(overrun(time, 900), "");
}

TEST(Shortfall, EveryStepThatWasCutIsNamedWithItsCounts) {
  SearchTime time;
  time.statistics_windows_wanted = time.encodings_wanted = time.probes_wanted = 211;
  time.refinements_wanted = time.candidate_windows_wanted = time.holdout_windows_wanted = 211;
  time.statistics_windows = time.encodings_measured = time.probes_measured = 83;
  time.refinements_measured = time.candidate_windows = time.holdout_windows = 83;
  const std::vector<std::string> lines = shortfall(time);
  EXPECT_EQ(lines.size(), 6U);
  for (const std::string& line : lines) EXPECT_NE(line.find("83 of 211"), std::string::npos);
  EXPECT_FALSE(time.is_complete());
}

TEST(Shortfall, ARunBeyondItsTimeSaysSo) {
  SearchTime time;
  time.limit_seconds = 60;
  EXPECT_EQ(overrun(time, 65), "");
  EXPECT_NE(overrun(time, 90).find("1 min 30 s"), std::string::npos);
}

TEST(Shortfall, TheLongerLimitCanBeTyped) {
  EXPECT_EQ(longer_limit(0.01), "1min");
  EXPECT_EQ(longer_limit(180), "10min");
  EXPECT_EQ(longer_limit(900), "30min");
  EXPECT_EQ(longer_limit(3600), "2h");
}

}  // namespace
}  // namespace paring::shrink
