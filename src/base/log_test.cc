// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <regex>

namespace paring {
namespace {

class LogTest : public testing::Test {
 protected:
  void TearDown() override { set_log_level(LogLevel::kInfo); }
};

TEST_F(LogTest, WritesOneLineWithTimeAndLevelToStderr) {
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  log_warning("disk is nearly full {}");
  const std::string line = testing::internal::GetCapturedStderr();
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "");
  const std::regex form(
      R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z warning disk is nearly full \{\}\n)");
  EXPECT_TRUE(std::regex_match(line, form)) << line;
}

TEST_F(LogTest, LevelsBelowTheSettingAreDropped) {
  set_log_level(LogLevel::kError);
  testing::internal::CaptureStderr();
  log_debug("one");
  log_info("two");
  log_warning("three");
  log_error("four");
  const std::string text = testing::internal::GetCapturedStderr();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
  EXPECT_NE(text.find("error four"), std::string::npos);
  EXPECT_FALSE(is_logged(LogLevel::kWarning));
  set_log_level(LogLevel::kOff);
  EXPECT_FALSE(is_logged(LogLevel::kError));
  EXPECT_FALSE(is_logged(LogLevel::kOff));
}

TEST_F(LogTest, TextCannotForgeALine) {
  testing::internal::CaptureStderr();
  log_info("name\n2026-01-01T00:00:00.000Z error all lost");
  const std::string text = testing::internal::GetCapturedStderr();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
}

TEST_F(LogTest, NamesOfLevels) {
  EXPECT_EQ(parse_log_level("debug").value(), LogLevel::kDebug);
  EXPECT_EQ(parse_log_level("off").value(), LogLevel::kOff);
  const auto wrong = parse_log_level("verbose");
  ASSERT_FALSE(wrong.has_value());
  EXPECT_NE(wrong.error().text().find("debug, info, warning, error, off"), std::string::npos);
}

}  // namespace
}  // namespace paring
