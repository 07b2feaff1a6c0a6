// SPDX-License-Identifier: Apache-2.0
// Sums by end user, against sums of the rows themselves.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <utility>

#include "store/detail/sqlite.h"
#include "store/traffic.h"
#include "store/traffic_for_test.h"

namespace paring::store {
namespace {

constexpr double kDay = kDayForTest;
constexpr double kHour = 3600;
using Users = std::map<std::pair<std::string, std::string>, TrafficUser>;

class TrafficUsersTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "/traffic-users-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  TrafficDb open() const { return TrafficDb::open({.data = folder_}).value(); }

  std::string folder_;
};

std::vector<TrafficRequest> some_rows() {
  std::vector<TrafficRequest> rows;
  for (std::uint64_t i = 0; i < 900; ++i) {
    rows.push_back(request_for_test(i, kDay + 250.0 * static_cast<double>(i)));
    TrafficRequest& row = rows.back();
    row.tenant = i % 3 == 0 ? "other" : "default";
    row.user = i % 5 == 0 ? "" : "user " + std::to_string(i % 7);
    if (i % 4 == 0) row.money.currency = "USD";
    if (i % 6 == 0) row.money = {};
    if (i % 13 == 0) row.end = "error";
  }
  return rows;
}

Users expected(const std::vector<TrafficRequest>& rows, const TrafficFilter& filter) {
  Users users;
  for (const TrafficRequest& row : rows) {
    if (row.user.empty() || row.started_s < filter.from_s || row.started_s >= filter.to_s) continue;
    if (filter.model && *filter.model != row.model) continue;
    if (filter.tenant && *filter.tenant != row.tenant) continue;
    TrafficUser& user = users[{row.tenant, row.user}];
    ++user.requests;
    if (row.status >= 400 || row.end == "error") ++user.errors;
    user.prompt_fresh += row.tokens.prompt_fresh;
    user.prompt_cached += row.tokens.prompt_cached;
    user.answer += row.tokens.answer_visible + row.tokens.answer_reasoning;
    (row.joules_kind == JoulesKind::kMeasured ? user.joules_measured : user.joules_estimated) +=
        row.joules;
    TrafficSums sums;
    sums.money = user.money;
    sums.add(row.money);
    user.money = sums.money;
  }
  return users;
}

void expect_users(const TrafficUsers& found, const Users& wanted) {
  ASSERT_EQ(found.users.size(), wanted.size());
  std::int64_t before = std::numeric_limits<std::int64_t>::max();
  for (const TrafficUser& user : found.users) {
    const auto place = wanted.find({user.tenant, user.user});
    ASSERT_NE(place, wanted.end()) << user.tenant << " " << user.user;
    const TrafficUser& want = place->second;
    EXPECT_EQ(user.requests, want.requests);
    EXPECT_EQ(user.errors, want.errors);
    EXPECT_EQ(user.prompt_fresh, want.prompt_fresh);
    EXPECT_EQ(user.prompt_cached, want.prompt_cached);
    EXPECT_EQ(user.answer, want.answer);
    EXPECT_DOUBLE_EQ(user.joules_measured, want.joules_measured);
    EXPECT_DOUBLE_EQ(user.joules_estimated, want.joules_estimated);
    ASSERT_EQ(user.money.size(), want.money.size());
    for (std::size_t i = 0; i < user.money.size(); ++i) {
      EXPECT_EQ(user.money[i].currency, want.money[i].currency);
      EXPECT_DOUBLE_EQ(user.money[i].hardware, want.money[i].hardware);
      EXPECT_DOUBLE_EQ(user.money[i].tokens, want.money[i].tokens);
    }
    const std::int64_t tokens = user.prompt_fresh + user.prompt_cached + user.answer;
    EXPECT_LE(tokens, before) << "most tokens first";
    before = tokens;
  }
}

TEST_F(TrafficUsersTest, AreTheSumsOfTheirRows) {
  const TrafficDb traffic = open();
  const std::vector<TrafficRequest> rows = some_rows();
  // In pieces, so that hours are added to.
  for (std::size_t i = 0; i < rows.size(); i += 50) {
    const auto done = traffic.append(std::span(rows).subspan(i, 50), {});
    ASSERT_TRUE(done.failures.empty()) << done.failures[0].error.text();
  }
  ASSERT_EQ(traffic.append(rows, {}).known, 900) << "and appended again they count once";
  TrafficFilter filter;
  expect_users(*traffic.users(filter, 1000), expected(rows, filter));
  filter.model = "small";
  expect_users(*traffic.users(filter, 1000), expected(rows, filter));
  filter.tenant = "other";
  expect_users(*traffic.users(filter, 1000), expected(rows, filter));
  filter.tenant = "nobody";
  EXPECT_TRUE(traffic.users(filter, 1000)->users.empty());
}

TEST_F(TrafficUsersTest, TimesAreWholeHoursAndSaidToBe) {
  const TrafficDb traffic = open();
  const std::vector<TrafficRequest> rows = some_rows();
  ASSERT_TRUE(traffic.append(rows, {}).failures.empty());
  const TrafficUsers found =
      *traffic.users({.from_s = kDay + 20 * kHour + 5, .to_s = kDay + 26.5 * kHour}, 1000);
  EXPECT_EQ(found.from_s, kDay + 20 * kHour);
  EXPECT_EQ(found.to_s, kDay + 27 * kHour);
  expect_users(found, expected(rows, {.from_s = found.from_s, .to_s = found.to_s}));
  const TrafficUsers exact =
      *traffic.users({.from_s = kDay + 20 * kHour, .to_s = kDay + 21 * kHour}, 1000);
  EXPECT_EQ(exact.to_s, kDay + 21 * kHour);
}

TEST_F(TrafficUsersTest, ALimitSaysHowManyItLeavesOut) {
  const TrafficDb traffic = open();
  ASSERT_TRUE(traffic.append(some_rows(), {}).failures.empty());
  const TrafficUsers all = *traffic.users({}, 1000);
  const TrafficUsers some = *traffic.users({}, 3);
  ASSERT_EQ(some.users.size(), 3U);
  EXPECT_EQ(some.left_out, static_cast<std::int64_t>(all.users.size()) - 3);
  EXPECT_EQ(some.users[2].user, all.users[2].user);
  EXPECT_EQ(traffic.users({}, 0).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(traffic.users({}, 1001).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(traffic.users({.min_total_seconds = 1}, 5).error().code, ErrorCode::kInvalidArgument);
}

TEST_F(TrafficUsersTest, DaysOfAnEarlierVersionGetTheirSums) {
  const std::vector<TrafficRequest> rows = some_rows();
  {
    const TrafficDb traffic = open();
    ASSERT_TRUE(traffic.append(rows, {}).failures.empty());
  }
  int days = 0;
  for (const auto& file : std::filesystem::directory_iterator(folder_ + "/traffic/default")) {
    if (file.path().extension() != ".db") continue;
    ++days;
    const auto day = detail::Connection::open(file.path(), 1000);
    ASSERT_TRUE(
        (*day)->script("DROP TABLE user_hours; DROP TABLE users; DROP TABLE engines;"
                       "ALTER TABLE requests DROP COLUMN prompt_version;"
                       "ALTER TABLE requests DROP COLUMN prefill_work_s;"
                       "ALTER TABLE requests DROP COLUMN decode_work_s;"
                       "ALTER TABLE requests DROP COLUMN prompt_key;"
                       "ALTER TABLE requests DROP COLUMN is_repeatable;"
                       "ALTER TABLE requests DROP COLUMN prompt_blocks; PRAGMA user_version = 1"));
  }
  ASSERT_EQ(days, 3);
  expect_users(*open().users({}, 1000), expected(rows, {}));
}

}  // namespace
}  // namespace paring::store
