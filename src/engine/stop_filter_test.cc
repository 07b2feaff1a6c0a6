// SPDX-License-Identifier: Apache-2.0
#include "engine/stop_filter.h"

#include <gtest/gtest.h>

namespace paring::engine {
namespace {

std::string shown(const std::string& text, std::vector<std::string> stops, std::size_t piece,
                  std::string* by = nullptr) {
  StopFilter filter(std::move(stops));
  std::string result;
  for (std::size_t i = 0; i < text.size() && !filter.is_stopped(); i += piece) {
    result += filter.push(text.substr(i, piece));
  }
  if (!filter.is_stopped()) result += filter.finish();
  if (by != nullptr && filter.is_stopped()) *by = filter.stopped_by();
  return result;
}

TEST(StopFilter, EndsAtTheFirstWhateverThePieces) {
  for (std::size_t piece = 1; piece < 12; ++piece) {
    std::string by;
    EXPECT_EQ(shown("one two\n\nthree END", {"END", "\n\n"}, piece, &by), "one two");
    EXPECT_EQ(by, "\n\n");
    EXPECT_EQ(shown("a STO b", {"STOP"}, piece), "a STO b");
    EXPECT_EQ(shown("aabaabaac", {"aabaac"}, piece), "aab");
    EXPECT_EQ(shown("ends in ST", {"STOP", ""}, piece), "ends in ST");
  }
}

TEST(StopFilter, ShowsNothingThatMayBecomeAStop) {
  StopFilter filter({"</end>"});
  EXPECT_EQ(filter.push("text <"), "text ");
  EXPECT_EQ(filter.push("/en"), "");
  EXPECT_EQ(filter.push("x"), "</enx");
  EXPECT_EQ(filter.push("</end> more"), "");
  EXPECT_TRUE(filter.is_stopped());
  EXPECT_EQ(filter.push("more"), "");
}

}  // namespace
}  // namespace paring::engine
