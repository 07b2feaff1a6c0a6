// SPDX-License-Identifier: Apache-2.0
#include "monitor/traffic.h"

#include <gtest/gtest.h>

#include <string>

#include "store/traffic_for_test.h"

namespace paring::monitor {
namespace {

constexpr double kDay = 86400;
constexpr double kNow = 20'000 * kDay + 3600;  // an hour into a day

store::TrafficRequest row(const std::string& id, double started_s) {
  store::TrafficRequest made;
  made.id = id;
  made.started_s = started_s;
  made.route = "/v1/chat/completions";
  made.status = 200;
  made.model = "m";
  made.content = {.prompt = "the question", .answer = "the answer"};
  return made;
}

TEST(Traffic, KeepsRowsAndContentForTimesOfTheirOwn) {
  const std::string folder = testing::TempDir() + "traffic_retention";
  const FakeClock clock(kNow);
  auto traffic = Traffic::open(
      {.data = folder, .project = "p" + std::to_string(::getpid()), .retention = {.days = 0}},
      clock);
  ASSERT_TRUE(traffic) << traffic.error().text();
  for (const int days : {0, 3, 10, 40}) {
    (*traffic)->writer().record(row("r" + std::to_string(days), kNow - days * kDay - 60));
  }
  ASSERT_TRUE((*traffic)->writer().flush(10));
  const auto has = [&](const char* id) {
    const auto found = (*traffic)->db().find(id);
    return found && found->size() == 1;
  };
  const auto has_content = [&](const char* id) {
    const auto found = (*traffic)->db().find(id);
    return found && found->size() == 1 && found->front().has_content;
  };
  EXPECT_TRUE(has("r40"));
  (*traffic)->set_retention({.days = 30, .content_days = 7});
  (*traffic)->remove_old();
  EXPECT_FALSE(has("r40"));
  EXPECT_TRUE(has("r10"));
  EXPECT_FALSE(has_content("r10"));
  EXPECT_TRUE(has_content("r3"));
  EXPECT_TRUE(has_content("r0"));
  // Forever, both: nothing goes however late it is.
  (*traffic)->set_retention({.days = 0, .content_days = 0});
  (*traffic)->remove_old();
  EXPECT_TRUE(has("r10"));
  EXPECT_TRUE(has_content("r3"));
}

}  // namespace
}  // namespace paring::monitor
