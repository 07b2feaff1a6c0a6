// SPDX-License-Identifier: Apache-2.0
#include "store/traffic.h"

#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <set>
#include <thread>

#include "base/clock.h"
#include "base/metrics.h"
#include "store/control_db_for_test.h"
#include "store/detail/traffic_days.h"
#include "store/traffic_for_test.h"

namespace paring::store {
namespace {

constexpr double kDay = kDayForTest;
constexpr double kDaySeconds = 86400;

class TrafficTest : public ControlDbTest {
 protected:
  TrafficDb open_traffic() const {
    Result<TrafficDb> traffic = TrafficDb::open({.data = folder_, .busy_ms = 200});
    EXPECT_TRUE(traffic.has_value()) << traffic.error().text();
    return std::move(traffic).value();
  }
  std::string day_file(const std::string& name) const {
    return folder_ + "/traffic/default/" + name;
  }
};

std::string said(const TrafficAppended& done) {
  std::string text = std::to_string(done.written) + " written";
  for (const auto& failure : done.failures) {
    text += ", " + std::to_string(failure.rows.size()) + " failed: " + failure.error.text();
  }
  return text;
}

void append_all(const TrafficDb& traffic, const std::vector<TrafficRequest>& rows) {
  const TrafficAppended done = traffic.append(rows, {});
  ASSERT_TRUE(done.failures.empty()) << said(done);
  ASSERT_EQ(done.written, static_cast<std::int64_t>(rows.size()));
}

std::vector<std::string> ids(const std::vector<TrafficRequest>& rows) {
  std::vector<std::string> found;
  for (const TrafficRequest& row : rows) found.push_back(row.id);
  return found;
}

bool accepts(const TrafficFilter& filter, const TrafficRequest& row) {
  return row.started_s >= filter.from_s && row.started_s < filter.to_s &&
         (!filter.model || *filter.model == row.model) &&
         (!filter.variant || *filter.variant == row.variant) &&
         (!filter.key_id || *filter.key_id == row.key_id) &&
         (!filter.tenant || *filter.tenant == row.tenant) &&
         (!filter.route || *filter.route == row.route) &&
         (!filter.status_class || *filter.status_class == row.status / 100) &&
         (!filter.cache || *filter.cache == row.cache) &&
         (!filter.min_total_seconds ||
          (row.seconds.total && *row.seconds.total >= *filter.min_total_seconds));
}

TrafficSums sums_of(const std::vector<TrafficRequest>& rows, const TrafficFilter& filter) {
  TrafficSums sums;
  for (const TrafficRequest& row : rows) {
    if (accepts(filter, row)) sums.add(row);
  }
  return sums;
}

void expect_equal(const TrafficSums& found, const TrafficSums& expected) {
#define PARING_X(name) EXPECT_EQ(found.name, expected.name) << #name;
  PARING_TRAFFIC_COUNTS(PARING_X)
#undef PARING_X
#define PARING_X(name) EXPECT_NEAR(found.name, expected.name, 1e-9 * expected.name) << #name;
  PARING_TRAFFIC_AMOUNTS(PARING_X)
#undef PARING_X
  ASSERT_EQ(found.money.size(), expected.money.size());
  for (std::size_t i = 0; i < found.money.size(); ++i) {
    EXPECT_EQ(found.money[i].currency, expected.money[i].currency);
    EXPECT_NEAR(found.money[i].hardware, expected.money[i].hardware, 1e-6);
    EXPECT_NEAR(found.money[i].energy, expected.money[i].energy, 1e-6);
    EXPECT_NEAR(found.money[i].tokens, expected.money[i].tokens, 1e-6);
  }
  EXPECT_EQ(found.first_token, expected.first_token);
  EXPECT_EQ(found.total, expected.total);
  EXPECT_EQ(found.gap, expected.gap);
}

// Over three days, with rows at the very ends of the days and of minutes.
std::vector<TrafficRequest> three_days() {
  std::vector<TrafficRequest> rows;
  for (std::uint64_t i = 0; i < 300; ++i) {
    const double day = kDay + kDaySeconds * static_cast<double>(i % 3);
    double second = static_cast<double>(i) * 287.5;
    if (i < 3) second = 0;
    if (i >= 297) second = kDaySeconds - 0.001;
    rows.push_back(request_for_test(i, day + second));
    if (i % 7 == 0) rows.back().money.currency = "USD";
    if (i % 11 == 0) rows.back().seconds = {};
    if (i % 50 == 0) rows.back().content = TrafficContent{"the prompt", "the answer"};
  }
  return rows;
}

std::vector<TrafficFilter> filters() {
  std::vector<TrafficFilter> all(11);
  all[1].model = "small";
  all[2].key_id = "key_2";
  all[2].route = "/v1/completions";
  all[3].status_class = 5;
  all[4].cache = TrafficCache::kExact;
  all[5].min_total_seconds = 4;
  all[6].min_total_seconds = 4;
  all[6].model = "large";
  all[7].from_s = kDay + 4000.5;
  all[7].to_s = kDay + kDaySeconds + 5000.25;
  all[8] = all[7];
  all[8].model = "large";
  all[9].from_s = kDay + 12.5;
  all[9].to_s = kDay + 12.75;
  all[10].tenant = "nobody";
  return all;
}

TEST(TokenGaps, ComeBackAndAreShort) {
  const std::vector<std::int64_t> odd = {0, -1, std::numeric_limits<std::int64_t>::max(),
                                         std::numeric_limits<std::int64_t>::min(), 5};
  EXPECT_EQ(*decode_gaps(encode_gaps(odd)), odd);
  EXPECT_TRUE(decode_gaps({})->empty());
  std::vector<std::int64_t> usual;
  for (int i = 0; i < 1000; ++i) usual.push_back(20'000 + (i * 37) % 61);
  const std::vector<std::uint8_t> bytes = encode_gaps(usual);
  EXPECT_EQ(*decode_gaps(bytes), usual);
  EXPECT_LE(bytes.size(), 2003U);
  EXPECT_EQ(decode_gaps(std::vector<std::uint8_t>{0x80}).error().code, ErrorCode::kCorrupt);
}

TEST_F(TrafficTest, DaysAreNamedAndRead) {
  EXPECT_EQ(detail::traffic_day_name(20780), "2026-11-23");
  EXPECT_EQ(detail::traffic_day_of("2026-11-23"), 20780);
  EXPECT_EQ(detail::traffic_day_of("1970-01-01"), 0);
  EXPECT_EQ(detail::traffic_day_of("9999-12-31"), detail::kTrafficDayMax);
  for (const char* name :
       {"2026-02-30", "2026-1-230", "2026/11/23", "1969-12-31", "", "abcdefghij", "2026-11-2x"}) {
    EXPECT_FALSE(detail::traffic_day_of(name).has_value()) << name;
  }
}

TEST_F(TrafficTest, ARowComesBackWhole) {
  const TrafficDb traffic = open_traffic();
  TrafficRequest row = request_for_test(1, kDay + 5.25);
  row.parent_id = "parent";
  row.error_code = "code";
  row.user = "user";
  row.session = std::string("ses\0sion", 8);
  row.seconds.prefill.reset();
  row.cache = TrafficCache::kJoined;
  row.content = TrafficContent{"say 'x'; DROP TABLE requests", std::string(100'000, 'y')};
  append_all(traffic, {row});
  const auto found = traffic.find("req_1");
  ASSERT_TRUE(found.has_value()) << found.error().text();
  ASSERT_EQ(found->size(), 1U);
  const TrafficRequest& back = found->front();
#define EXPECT_SAME(field) EXPECT_EQ(back.field, row.field)
  EXPECT_SAME(id);
  EXPECT_SAME(trace_id);
  EXPECT_SAME(span_id);
  EXPECT_SAME(parent_id);
  EXPECT_SAME(started_s);
  EXPECT_SAME(route);
  EXPECT_SAME(status);
  EXPECT_SAME(is_complete);
  EXPECT_SAME(end);
  EXPECT_SAME(error_code);
  EXPECT_SAME(key_id);
  EXPECT_SAME(tenant);
  EXPECT_SAME(user);
  EXPECT_SAME(session);
  EXPECT_SAME(model);
  EXPECT_SAME(variant);
  EXPECT_SAME(cache);
  EXPECT_SAME(tokens.prompt_fresh);
  EXPECT_SAME(tokens.prompt_cached);
  EXPECT_SAME(tokens.answer_visible);
  EXPECT_SAME(tokens.answer_reasoning);
  EXPECT_SAME(tokens.drafted);
  EXPECT_SAME(tokens.accepted);
  EXPECT_SAME(seconds.queue);
  EXPECT_SAME(seconds.prefill);
  EXPECT_SAME(seconds.decode);
  EXPECT_SAME(seconds.first_token);
  EXPECT_SAME(seconds.total);
  EXPECT_SAME(operations);
  EXPECT_SAME(bytes_read);
  EXPECT_SAME(joules);
  EXPECT_SAME(joules_kind);
  EXPECT_SAME(money.hardware);
  EXPECT_SAME(money.energy);
  EXPECT_SAME(money.tokens);
  EXPECT_SAME(money.currency);
  EXPECT_SAME(peak_pages);
  EXPECT_SAME(preemptions);
  EXPECT_SAME(gaps);
  EXPECT_SAME(prompt_version);
  EXPECT_SAME(seconds.prefill_work);
  EXPECT_SAME(seconds.decode_work);
  EXPECT_SAME(marks.key);
  EXPECT_SAME(marks.is_repeatable);
  EXPECT_SAME(marks.blocks);
#undef EXPECT_SAME
  ASSERT_TRUE(back.content.has_value());
  EXPECT_EQ(back.content->prompt, row.content->prompt);
  EXPECT_EQ(back.content->answer, row.content->answer);
  const auto page = traffic.page({}, "", 10);
  ASSERT_TRUE(page.has_value());
  EXPECT_TRUE(page->rows.at(0).has_content);
  EXPECT_FALSE(page->rows.at(0).content.has_value());
  EXPECT_TRUE(traffic.find("req_2")->empty());
}

TEST_F(TrafficTest, AppendingAgainChangesNothing) {
  const TrafficDb traffic = open_traffic();
  const std::vector<TrafficRequest> rows = three_days();
  append_all(traffic, rows);
  TrafficAppended again = traffic.append(rows, {});
  EXPECT_EQ(again.written, 0);
  EXPECT_EQ(again.known, 300);
  // Another span of the same request is a row of its own.
  TrafficRequest child = rows[0];
  child.span_id = "child";
  again = traffic.append(std::vector{rows[0], child, child}, {});
  EXPECT_EQ(again.written, 1);
  EXPECT_EQ(again.known, 2);
  EXPECT_EQ(traffic.find(child.id)->size(), 2U);
  EXPECT_EQ(traffic.summary({})->requests, 301);
}

TEST_F(TrafficTest, SumsAreThoseOfTheRowsForEveryFilter) {
  const TrafficDb traffic = open_traffic();
  const std::vector<TrafficRequest> rows = three_days();
  for (std::size_t i = 0; i < rows.size(); i += 30) {
    append_all(traffic, {rows.begin() + static_cast<std::ptrdiff_t>(i),
                         rows.begin() + static_cast<std::ptrdiff_t>(i + 30)});
  }
  int filter_number = 0;
  for (const TrafficFilter& filter : filters()) {
    SCOPED_TRACE(filter_number++);
    const TrafficSums expected = sums_of(rows, filter);
    const auto found = traffic.summary(filter);
    ASSERT_TRUE(found.has_value()) << found.error().text();
    expect_equal(*found, expected);
    for (const std::int64_t bucket_s : {60, 3600, 86400, 7}) {
      std::map<std::int64_t, std::vector<TrafficRequest>> by_bucket;
      for (const TrafficRequest& row : rows) {
        if (!accepts(filter, row)) continue;
        by_bucket[static_cast<std::int64_t>(std::floor(row.started_s)) / bucket_s * bucket_s]
            .push_back(row);
      }
      const auto buckets = traffic.series(filter, bucket_s);
      ASSERT_TRUE(buckets.has_value()) << buckets.error().text();
      ASSERT_EQ(buckets->size(), by_bucket.size());
      std::size_t place = 0;
      for (const auto& [start_s, inside] : by_bucket) {
        EXPECT_EQ((*buckets)[place].start_s, start_s);
        expect_equal((*buckets)[place].sums, sums_of(inside, {}));
        ++place;
      }
    }
  }
}

TEST_F(TrafficTest, PagesShowEachRowOnceNewestFirst) {
  const TrafficDb traffic = open_traffic();
  std::vector<TrafficRequest> rows = three_days();
  append_all(traffic, rows);
  std::ranges::stable_sort(rows, {}, &TrafficRequest::started_s);
  std::ranges::reverse(rows);
  int filter_number = 0;
  for (const TrafficFilter& filter : filters()) {
    SCOPED_TRACE(filter_number++);
    std::vector<std::string> expected;
    for (const TrafficRequest& row : rows) {
      if (accepts(filter, row)) expected.push_back(row.id);
    }
    for (const std::int64_t limit : {1, 7, 1000}) {
      std::vector<std::string> found;
      std::string cursor;
      do {
        const auto page = traffic.page(filter, cursor, limit);
        ASSERT_TRUE(page.has_value()) << page.error().text();
        ASSERT_LE(page->rows.size(), static_cast<std::size_t>(limit));
        for (const std::string& id : ids(page->rows)) found.push_back(id);
        cursor = page->next;
      } while (!cursor.empty());
      EXPECT_EQ(found, expected) << "limit " << limit;
    }
  }
}

TEST_F(TrafficTest, OddQuestionsAreErrors) {
  const TrafficDb traffic = open_traffic();
  append_all(traffic, three_days());
  for (const char* cursor :
       {"x", "1.2", "1.2.3.4", "..", "1.zz.3", "-", "99999999999999999999.1.1"}) {
    const auto page = traffic.page({}, cursor, 10);
    ASSERT_FALSE(page.has_value()) << cursor;
    EXPECT_EQ(page.error().code, ErrorCode::kInvalidArgument);
  }
  EXPECT_FALSE(traffic.page({}, "", 0).has_value());
  EXPECT_FALSE(traffic.page({}, "", 1001).has_value());
  EXPECT_FALSE(traffic.series({}, 0).has_value());
  for (const char* project : {"", ".", "..", "a/b", ".hidden"}) {
    EXPECT_FALSE(TrafficDb::open({.data = folder_, .project = project}).has_value()) << project;
  }
}

TEST_F(TrafficTest, ImpossibleNumbersDoNotHoldUpOthers) {
  const TrafficDb traffic = open_traffic();
  std::vector<TrafficRequest> rows;
  for (std::uint64_t i = 0; i < 6; ++i) rows.push_back(request_for_test(i, kDay + 1));
  rows[0].started_s = std::nan("");
  rows[1].started_s = -1;
  rows[2].started_s = 1e300;
  rows[3].joules = std::nan("");
  rows[3].seconds.total = std::numeric_limits<double>::infinity();
  rows[4].user = std::string(10'000, 'u');
  rows[4].gaps = {0x80};
  const TrafficAppended done = traffic.append(rows, {});
  EXPECT_EQ(done.written, 3) << said(done);
  ASSERT_EQ(done.failures.size(), 1U);
  EXPECT_EQ(done.failures[0].rows, (std::vector<std::size_t>{0, 1, 2}));
  EXPECT_EQ(done.failures[0].error.code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(traffic.find("req_3")->at(0).joules, 0);
  EXPECT_FALSE(traffic.find("req_3")->at(0).seconds.total.has_value());
  EXPECT_EQ(traffic.find("req_4")->at(0).user.size(), kTrafficTextBytesMax);
}

TEST_F(TrafficTest, TheGroupsOfADayAreBounded) {
  const TrafficDb traffic = open_traffic();
  std::vector<TrafficRequest> rows;
  for (std::uint64_t i = 0; i < 5000; ++i) {
    rows.push_back(request_for_test(i, kDay + 1));
    rows.back().model = "made up " + std::to_string(i);
    rows.back().gaps.clear();
  }
  append_all(traffic, rows);
  TrafficFilter other;
  other.model = "(other)";
  const auto beyond = traffic.summary(other);
  ASSERT_TRUE(beyond.has_value());
  EXPECT_EQ(beyond->requests, 5000 - 4095);  // one is the total
  EXPECT_EQ(traffic.summary({})->requests, 5000);
}

TEST_F(TrafficTest, FilesAreForTheOwnerOnlyAndSmall) {
  const mode_t old_mask = ::umask(0);
  const TrafficDb traffic = open_traffic();
  std::vector<TrafficRequest> rows;
  for (std::uint64_t i = 0; i < 20'000; ++i) {
    rows.push_back(request_for_test(i, kDay + static_cast<double>(i) / 11));
  }
  append_all(traffic, rows);
  ::umask(old_mask);
  struct stat status{};
  ASSERT_EQ(::stat(day_file("2026-11-23.db").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600U);
  ASSERT_EQ(::stat(day_file("2026-11-23.db-wal").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600U);
  for (const char* part : {"", "/traffic", "/traffic/default"}) {
    ASSERT_EQ(::stat((folder_ + part).c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0700U);
  }
  // Below 1 KiB a request, everything included.
  const TrafficDb again = open_traffic();
  std::uintmax_t bytes = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder_ + "/traffic/default")) {
    if (entry.path().extension() == ".db") bytes += entry.file_size();
  }
  EXPECT_LT(bytes, 20'000U * 1024U);
  RecordProperty("bytes_a_row", static_cast<int>(bytes / 20'000));
}

TEST_F(TrafficTest, RetentionRemovesFilesOfWholeDays) {
  const TrafficDb traffic = open_traffic();
  append_all(traffic, three_days());
  std::ofstream(day_file("2026-11-22.db.damaged-1")) << "x";
  std::ofstream(day_file("notes.txt")) << "x";
  EXPECT_EQ(*traffic.remove_before(kDay + kDaySeconds - 1), 1);  // the damaged one
  EXPECT_EQ(*traffic.remove_before(kDay + 2 * kDaySeconds + 5), 2);
  EXPECT_EQ(traffic.summary({})->requests, 100);
  EXPECT_FALSE(std::filesystem::exists(day_file("2026-11-23.db")));
  EXPECT_FALSE(std::filesystem::exists(day_file("2026-11-23.db-wal")));
  EXPECT_TRUE(std::filesystem::exists(day_file("notes.txt")));
  // A day that was removed can come back.
  append_all(traffic, {request_for_test(1, kDay)});
  EXPECT_EQ(traffic.summary({})->requests, 101);
}

TEST_F(TrafficTest, ContentGoesBeforeItsRowAndLeavesNoTrace) {
  const TrafficDb traffic = open_traffic();
  std::vector<TrafficRequest> rows;
  for (std::uint64_t i = 0; i < 100; ++i) {
    rows.push_back(request_for_test(i, kDay + static_cast<double>(i)));
    rows.back().content = TrafficContent{
        std::string(i % 3 == 0 ? 2000 : 50, 'p') + "secret_of_" + std::to_string(i) + ".",
        "the answer"};
  }
  append_all(traffic, rows);
  EXPECT_EQ(*traffic.content_remove_before(kDay + 50), 50);
  EXPECT_EQ(*traffic.content_remove_before(kDay + 50), 0);
  EXPECT_FALSE(traffic.find("req_49")->at(0).content.has_value());
  EXPECT_TRUE(traffic.find("req_50")->at(0).content.has_value());
  EXPECT_EQ(traffic.summary({})->requests, 100);
  std::string bytes;
  for (const char* suffix : {"", "-wal"}) {
    std::ifstream in(day_file(std::string("2026-11-23.db") + suffix), std::ios::binary);
    bytes.append(std::istreambuf_iterator<char>(in), {});
  }
  // Small ones share a page with others that stay, large ones do not.
  for (int i = 0; i < 100; ++i) {
    const bool is_there = bytes.find("secret_of_" + std::to_string(i) + ".") != std::string::npos;
    EXPECT_EQ(is_there, i >= 50) << i;
  }
}

TEST_F(TrafficTest, WithoutContentTheRowIsKept) {
  const TrafficDb traffic = open_traffic();
  TrafficRequest row = request_for_test(1, kDay);
  row.content = TrafficContent{"p", "a"};
  EXPECT_EQ(traffic.append({&row, 1}, {.parts = TrafficParts::kWithoutContent}).written, 1);
  EXPECT_FALSE(traffic.find("req_1")->at(0).has_content);
}

TEST_F(TrafficTest, ADamagedDayIsMovedAsideAndTheOthersGoOn) {
  {
    append_all(open_traffic(), three_days());
  }
  std::ofstream(day_file("2026-11-24.db"), std::ios::binary) << std::string(5000, '#');
  const std::uint64_t before = metrics().traffic_damaged_files.value();
  const TrafficDb traffic = open_traffic();
  EXPECT_EQ(traffic.summary({})->requests, 200);
  EXPECT_EQ(traffic.health().damaged_files, 1);
  EXPECT_EQ(metrics().traffic_damaged_files.value(), before + 1);
  EXPECT_TRUE(std::filesystem::exists(day_file("2026-11-24.db.damaged-1")));
  append_all(traffic, {request_for_test(1000, kDay + kDaySeconds + 1)});
  EXPECT_EQ(traffic.summary({})->requests, 201);
  EXPECT_EQ(traffic.health().damaged_files, 1);
}

// Bytes anywhere in the file, while it is open and while it is not.
TEST_F(TrafficTest, DamageAnywhereIsNeverFatal) {
  {
    append_all(open_traffic(), three_days());
  }
  std::ifstream in(day_file("2026-11-23.db"), std::ios::binary);
  const std::string good{std::istreambuf_iterator<char>(in), {}};
  RandomStream random({.seed = 3});
  std::int64_t found = 0;
  for (int round = 0; round < 60; ++round) {
    std::string bad = good;
    const std::uint32_t bytes = 1 + random.below(400);
    const std::uint32_t place = random.below(static_cast<std::uint32_t>(bad.size() - bytes));
    for (std::uint32_t i = 0; i < bytes; ++i) bad[place + i] = static_cast<char>(random.below(256));
    if (round % 5 == 0) bad.resize(random.below(static_cast<std::uint32_t>(bad.size())));
    for (const char* suffix : {"-wal", "-shm"}) {
      std::filesystem::remove(day_file(std::string("2026-11-23.db") + suffix));
    }
    std::ofstream(day_file("2026-11-23.db"), std::ios::binary | std::ios::trunc) << bad;
    const TrafficDb traffic = open_traffic();
    (void)traffic.page({}, "", 1000);
    (void)traffic.summary({});
    (void)traffic.find("req_3");
    (void)traffic.append(std::vector{request_for_test(7777, kDay + 100)}, {});
    (void)traffic.content_remove_before(kDay + 1e5);
    found += traffic.health().damaged_files;
    const auto others = traffic.page({.from_s = kDay + kDaySeconds}, "", 1000);
    ASSERT_TRUE(others.has_value()) << others.error().text();
    EXPECT_EQ(others->rows.size(), 200U);
  }
  EXPECT_GT(found, 10);
}

TEST_F(TrafficTest, ADayOfANewerVersionIsLeftAlone) {
  {
    append_all(open_traffic(), three_days());
    const auto day = detail::Connection::open(day_file("2026-11-24.db"), 100);
    ASSERT_TRUE((*day)->script("PRAGMA user_version = 99").has_value());
  }
  const TrafficDb traffic = open_traffic();
  EXPECT_EQ(traffic.summary({})->requests, 200);
  const TrafficAppended done = traffic.append(
      std::vector{request_for_test(1001, kDay), request_for_test(1002, kDay + kDaySeconds),
                  request_for_test(1003, kDay + 2 * kDaySeconds)},
      {});
  EXPECT_EQ(done.written, 2);
  ASSERT_EQ(done.failures.size(), 1U);
  EXPECT_EQ(done.failures[0].rows, std::vector<std::size_t>{1});
  EXPECT_EQ(done.failures[0].error.code, ErrorCode::kUnsupported);
  EXPECT_EQ(traffic.health().newer_files, std::vector<std::string>{"2026-11-24.db"});
  EXPECT_EQ(traffic.health().damaged_files, 0);
  EXPECT_FALSE(std::filesystem::exists(day_file("2026-11-24.db.damaged-1")));
}

TEST_F(TrafficTest, AFullDiskIsExhaustedAndWhatWasThereStays) {
  {
    append_all(open_traffic(), three_days());
  }
  const int code = wait_for_test(fork_for_test([this] {
    std::signal(SIGXFSZ, SIG_IGN);
    const TrafficDb traffic = open_traffic();
    const rlimit file_size{200'000, 200'000};
    if (::setrlimit(RLIMIT_FSIZE, &file_size) != 0) return 2;
    TrafficRequest big = request_for_test(5000, kDay + 3);
    big.content = TrafficContent{std::string(400'000, 'x'), ""};
    TrafficAppended done = traffic.append({&big, 1}, {});
    if (done.failures.size() != 1) return 3;
    if (done.failures[0].error.code != ErrorCode::kExhausted) return 4;
    if (traffic.summary({})->requests != 300) return 5;
    done = traffic.append({&big, 1}, {.parts = TrafficParts::kWithoutContent});
    return done.written == 1 ? 0 : 6;
  }));
  EXPECT_EQ(code, 0);
  EXPECT_EQ(open_traffic().summary({})->requests, 301);
}

TEST_F(TrafficTest, ReadersAndWritersGoTogether) {
  const TrafficDb traffic = open_traffic();
  std::vector<std::jthread> threads;
  for (std::uint64_t t = 0; t < 2; ++t) {
    threads.emplace_back([&traffic, t] {
      for (std::uint64_t i = 0; i < 20; ++i) {
        std::vector<TrafficRequest> rows;
        for (std::uint64_t k = 0; k < 10; ++k) {
          rows.push_back(
              request_for_test(t * 1000 + i * 10 + k, kDay + static_cast<double>(k) * kDaySeconds));
        }
        const TrafficAppended done = traffic.append(rows, {});
        EXPECT_TRUE(done.failures.empty()) << said(done);
      }
    });
    threads.emplace_back([&traffic] {
      for (int i = 0; i < 10; ++i) {
        EXPECT_TRUE(traffic.page({}, "", 50).has_value());
        EXPECT_TRUE(traffic.summary({}).has_value());
      }
    });
  }
  threads.clear();
  EXPECT_EQ(traffic.summary({})->requests, 400);
  EXPECT_EQ(traffic.health().damaged_files, 0);
}

TEST_F(TrafficTest, SumsApartByAKeyAddUpToAll) {
  const TrafficDb traffic = open_traffic();
  std::vector<TrafficRequest> rows;
  for (std::uint64_t i = 0; i < 3000; ++i) {
    rows.push_back(request_for_test(i, kDay + kDaySeconds - 900 + static_cast<double>(i) / 2));
    rows.back().tenant = i % 3 == 0 ? "other" : "default";
  }
  append_all(traffic, rows);
  // Within a minute at both ends, over midnight.
  const TrafficFilter filter{.from_s = kDay + kDaySeconds - 777.5,
                             .to_s = kDay + kDaySeconds + 333.25};
  const TrafficSums all = *traffic.summary(filter);
  const auto by_key = *traffic.summary_by(filter, TrafficKey::kKey);
  const auto by_tenant = *traffic.summary_by(filter, TrafficKey::kTenant);
  EXPECT_EQ(by_key.size(), 4U);
  ASSERT_EQ(by_tenant.size(), 2U);
  TrafficSums merged;
  for (const auto& [key, sums] : by_key) {
    TrafficFilter one = filter;
    one.key_id = key;
    const TrafficSums alone = *traffic.summary(one);
    EXPECT_EQ(sums.requests, alone.requests) << key;
    EXPECT_EQ(sums.gap, alone.gap) << key;
    EXPECT_DOUBLE_EQ(sums.money.front().hardware, alone.money.front().hardware) << key;
    merged.merge(sums);
  }
  EXPECT_EQ(merged.requests, all.requests);
  EXPECT_EQ(merged.first_token, all.first_token);
  EXPECT_EQ(by_tenant.at("other").requests + by_tenant.at("default").requests, all.requests);
  EXPECT_GT(all.requests, 2000);
}

// 100,000 requests of a day, a million with PARING_LONG_TESTS. The bound is for the million.
TEST_F(TrafficTest, QuestionsAboutADayAreAnsweredFast) {
  const bool is_long = std::getenv("PARING_LONG_TESTS") != nullptr;
  const std::uint64_t count = is_long ? 1'000'000 : 100'000;
  const TrafficDb traffic = open_traffic();
  const Clock& clock = system_clock();
  double start = clock.monotonic_seconds();
  std::vector<TrafficRequest> rows;
  for (std::uint64_t i = 0; i < count; ++i) {
    const double share = static_cast<double>(i) / static_cast<double>(count);
    rows.push_back(request_for_test(i, kDay + kDaySeconds * share));
    rows.back().user = "user " + std::to_string(i % 500) + " of " + rows.back().key_id;
    if (rows.size() < 5000 && i + 1 < count) continue;
    append_all(traffic, rows);
    rows.clear();
  }
  const double fill_seconds = clock.monotonic_seconds() - start;
  std::cout << count << " rows in " << fill_seconds << " s\n";
  TrafficFilter filtered;
  filtered.model = "small";
  filtered.key_id = "key_1";
  TrafficFilter slow;
  slow.min_total_seconds = 5.009;
  const std::string middle = traffic.page({.to_s = kDay + kDaySeconds / 2}, "", 50)->next;
  const auto timed = [&](const char* name, const auto& work) {
    start = clock.monotonic_seconds();
    const bool is_good = work();
    const double seconds = clock.monotonic_seconds() - start;
    std::cout << name << ": " << seconds * 1000 << " ms\n";
    EXPECT_TRUE(is_good) << name;
    EXPECT_LT(seconds, 0.5) << name;
  };
  timed("first page", [&] { return traffic.page({}, "", 50)->rows.size() == 50; });
  timed("page in the middle", [&] { return traffic.page({}, middle, 50)->rows.size() == 50; });
  timed("page with filters", [&] { return traffic.page(filtered, "", 50)->rows.size() == 50; });
  timed("page of slow ones", [&] { return !traffic.page(slow, "", 50)->rows.empty(); });
  timed("find", [&] { return traffic.find("req_777")->size() == 1; });
  timed("summary",
        [&] { return traffic.summary({})->requests == static_cast<std::int64_t>(count); });
  TrafficFilter everything;
  everything.tenant = "default";
  timed("summary of the only tenant",
        [&] { return traffic.summary(everything)->requests == static_cast<std::int64_t>(count); });
  timed("summary by key", [&] { return traffic.summary_by({}, TrafficKey::kKey)->size() == 4; });
  timed("users", [&] { return traffic.users({}, 100)->left_out == 1900; });
  timed("series by minute", [&] { return traffic.series({}, 60)->size() == 1440; });
  timed("series by hour with filters",
        [&] { return traffic.series(filtered, 3600)->size() == 24; });
}

}  // namespace
}  // namespace paring::store
