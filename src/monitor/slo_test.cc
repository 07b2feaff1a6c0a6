// SPDX-License-Identifier: Apache-2.0
#include "monitor/slo.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <deque>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <optional>
#include <semaphore>
#include <string>
#include <vector>

#include "base/random.h"
#include "monitor/alerts.h"
#include "monitor/slo_board.h"
#include "monitor/slo_memory.h"

namespace paring::monitor {
namespace {

constexpr double kStart = 1'795'392'000;  // the begin of a day and an hour

Slo error_rate(double target = 0.999, double window_s = 30 * kDaySeconds) {
  Slo slo;
  slo.name = "errors";
  slo.target = target;
  slo.window_s = window_s;
  slo.burn_rules = default_burn_rules(window_s, target);
  return slo;
}

store::TrafficRequest ended(double end_s, int status = 200) {
  store::TrafficRequest row;
  row.id = "req";
  row.route = "/v1/chat/completions";
  row.status = status;
  row.is_complete = true;
  row.end = status < 400 ? "stop" : "error";
  row.seconds.total = 1;
  row.started_s = end_s - 1;
  return row;
}

AlertState state_of(const SloBoard& board, double now_s, const std::string& alert) {
  const SloStanding standing = board.standings(now_s).at(0);
  for (const AlertStanding& each : standing.alerts) {
    if (each.name == alert) return each.status.state;
  }
  ADD_FAILURE() << "no alert " << alert;
  return AlertState::kInactive;
}

TEST(SloRules, AreThoseOfTheWorkbook) {
  // Google, The Site Reliability Workbook, table 5-8: 2 %, 5 %, 10 % of 30 days' budget.
  const std::vector<BurnRule> rules = default_burn_rules(30 * kDaySeconds, 0.999);
  ASSERT_EQ(rules.size(), 3U);
  const BurnRule expected[] = {{14.4, 3600, 300}, {6, 21600, 1800}, {1, 259200, 21600}};
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_NEAR(rules[i].rate, expected[i].rate, 1e-9);
    EXPECT_EQ(rules[i].long_s, expected[i].long_s);
    EXPECT_EQ(rules[i].short_s, expected[i].short_s);
  }
  EXPECT_NEAR(default_burn_rules(7 * kDaySeconds, 0.999)[0].rate, 0.02 * 7 * 24, 1e-9);
  EXPECT_EQ(default_burn_rules(kHourSeconds, 0.999).size(), 1U) << "none longer than the window";
  EXPECT_EQ(default_burn_rules(kHourSeconds, 0.999)[0].rate, 1) << "and none that is kept";
  EXPECT_NEAR(default_burn_rules(30 * kDaySeconds, 0.9)[0].rate, 9, 1e-9) << "10 is the highest";
}

// What the board says, from all events that ever were.
struct Oracle {
  struct Event {
    double minute;
    bool bad;
  };
  std::vector<Event> events;
  double rate(double now_s, double seconds, double target) const {
    const double last = std::floor(now_s / 60);
    int all = 0;
    int bad = 0;
    for (auto each = events.rbegin(); each != events.rend(); ++each) {
      if (each->minute <= last - seconds / 60) break;
      all += 1;
      bad += each->bad ? 1 : 0;
    }
    return all == 0 ? 0 : bad / (all * (1 - target));
  }
};

TEST(SloBoard, BurnsAsAnOracleSaysAndFiresWhenItDoes) {
  const Slo slo = error_rate(0.99);
  SloBoard board({slo}, kStart);
  Oracle oracle;
  RandomStream random({.seed = 7});
  std::map<std::string, bool> has_fired;
  // Five days in steps of two minutes, with hours of many, few and no errors.
  for (double at = 0; at < 5 * kDaySeconds; at += 120) {
    const double now = kStart + at;
    const int hour = static_cast<int>(at / 3600);
    const double share = hour % 40 == 30 ? 0.5 : hour % 17 == 5 ? 0.08 : hour > 80 ? 0.02 : 0.001;
    const int requests = hour % 23 == 11 ? 0 : 3;
    for (int i = 0; i < requests; ++i) {
      const bool bad = random.uniform() < share;
      board.observe(ended(now, bad ? 500 : 200), now);
      oracle.events.push_back({std::floor(now / 60), bad});
    }
    (void)board.evaluate(now);
    const SloStanding standing = board.standings(now).at(0);
    for (std::size_t i = 0; i < standing.burns.size(); ++i) {
      const BurnRule& rule = slo.burn_rules[i];
      const double all = oracle.rate(now, rule.long_s, slo.target);
      const double recent = oracle.rate(now, rule.short_s, slo.target);
      ASSERT_NEAR(standing.burns[i].long_rate, all, 1e-9) << at;
      ASSERT_NEAR(standing.burns[i].short_rate, recent, 1e-9) << at;
      const AlertStanding& alert = standing.alerts.at(i);
      const bool is_firing = alert.status.state == AlertState::kFiring;
      if (all >= rule.rate && recent >= rule.rate && standing.burns[i].long_events >= 10) {
        ASSERT_TRUE(is_firing) << alert.name << " at " << at;
      }
      if (is_firing) has_fired[alert.name] = true;
      // It is over at the latest when it was calm for as long as that takes.
      if (all < rule.rate / 2 && is_firing) {
        ASSERT_TRUE(alert.status.calm_s.has_value()) << alert.name << " at " << at;
      }
    }
  }
  EXPECT_EQ(has_fired.size(), 3U) << "each rule had its hour";
  EXPECT_GT(board.changes_ever(), 6U);
}

TEST(SloBoard, AnOutageIsFoundAsSoonAsTheWorkbookSays) {
  // (1 - target) / error share * window * rate = 0.001 / 1 * 60 min * 14.4 = 0.864 min.
  SloBoard board({error_rate()}, kStart);
  double now = kStart;
  for (; now < kStart + 2 * kHourSeconds; now += 0.6) board.observe(ended(now), now);
  (void)board.evaluate(now);
  EXPECT_EQ(state_of(board, now, "burn-1h"), AlertState::kInactive);
  const double outage = now;
  while (state_of(board, now, "burn-1h") != AlertState::kFiring && now < outage + 600) {
    now += 0.6;
    board.observe(ended(now, 503), now);
    (void)board.evaluate(now);
  }
  EXPECT_NEAR((now - outage) / 60, 0.864, 0.05);
}

TEST(SloBoard, IsToldOnceAgainAfterAWhileAndWhenItIsOver) {
  Slo slo = error_rate(0.5, kHourSeconds);
  slo.requests_min = 2;
  slo.resolve_after_s = 600;
  slo.re_notify_s = 1000;
  SloBoard board({slo}, kStart);
  EXPECT_TRUE(board.evaluate(kStart).empty());
  board.observe(ended(kStart, 500), kStart);
  EXPECT_TRUE(board.evaluate(kStart).empty()) << "one request is too few";
  board.observe(ended(kStart, 500), kStart);
  const auto fired = board.evaluate(kStart);
  ASSERT_EQ(fired.size(), 1U);
  EXPECT_TRUE(fired[0].is_firing());
  EXPECT_TRUE(board.evaluate(kStart + 10).empty());
  // Nobody asks: the short time is empty, which proves nothing.
  EXPECT_TRUE(board.evaluate(kStart + 900).empty());
  EXPECT_EQ(state_of(board, kStart + 900, "burn-1h"), AlertState::kFiring);
  EXPECT_EQ(board.evaluate(kStart + 1000).size(), 1U) << "told again";
  // Well again: 2 bad of 6 burn 0.67 times, and the last five minutes not at all.
  for (int i = 0; i < 4; ++i) board.observe(ended(kStart + 1100), kStart + 1100);
  EXPECT_TRUE(board.evaluate(kStart + 1100).empty());
  EXPECT_TRUE(board.evaluate(kStart + 1690).empty()) << "not calm for long enough";
  const auto over = board.evaluate(kStart + 1700);
  ASSERT_EQ(over.size(), 1U);
  EXPECT_FALSE(over[0].is_firing());
  EXPECT_EQ(over[0].alerts.at(0).starts_s, kStart);
  EXPECT_EQ(over[0].alerts.at(0).ends_s, kStart + 1700);
  EXPECT_EQ(state_of(board, kStart + 1700, "burn-1h"), AlertState::kResolved);
  (void)board.evaluate(kStart + 1700 + kResolvedSeconds);
  EXPECT_EQ(state_of(board, kStart + 1700 + kResolvedSeconds, "burn-1h"), AlertState::kInactive);
}

TEST(AlertState, WaitsUntilItFiresAndDoesNotFlutter) {
  AlertStatus status;
  const AlertTimes times{60, 120};
  EXPECT_TRUE(step_alert(status, AlertSign::kDanger, times, 0));
  EXPECT_EQ(status.state, AlertState::kPending);
  EXPECT_FALSE(step_alert(status, AlertSign::kDanger, times, 59));
  EXPECT_TRUE(step_alert(status, AlertSign::kUnclear, times, 59.5));
  EXPECT_EQ(status.state, AlertState::kInactive) << "it must last";
  step_alert(status, AlertSign::kDanger, times, 60);
  EXPECT_TRUE(step_alert(status, AlertSign::kDanger, times, 120));
  EXPECT_EQ(status.state, AlertState::kFiring);
  step_alert(status, AlertSign::kCalm, times, 130);
  step_alert(status, AlertSign::kUnclear, times, 240);  // in between: calm begins anew
  step_alert(status, AlertSign::kCalm, times, 251);
  EXPECT_EQ(status.state, AlertState::kFiring);
  EXPECT_FALSE(step_alert(status, AlertSign::kCalm, times, 370));
  EXPECT_TRUE(step_alert(status, AlertSign::kCalm, times, 371));
  EXPECT_EQ(status.state, AlertState::kResolved);
}

TEST(SloBoard, NoDataIsAnAlertWhereThatIsAsked) {
  Slo slo = error_rate();
  slo.no_data_after_s = 600;
  SloBoard board({slo}, kStart);
  EXPECT_TRUE(board.evaluate(kStart + 599).empty());
  ASSERT_EQ(board.evaluate(kStart + 600).size(), 1U);
  EXPECT_EQ(state_of(board, kStart + 600, "no-data"), AlertState::kFiring);
  board.observe(ended(kStart + 700), kStart + 700);
  const auto over = board.evaluate(kStart + 700);
  ASSERT_EQ(over.size(), 1U);
  EXPECT_FALSE(over[0].is_firing());
  EXPECT_EQ(over[0].alerts.at(0).labels.at("alertname"), "ParingSloNoData");
}

TEST(SloBoard, ASilenceEndsWithWhatFires) {
  Slo slo = error_rate(0.5, kHourSeconds);
  slo.requests_min = 1;
  SloBoard board({slo}, kStart);
  EXPECT_FALSE(board.silence("other", kStart + 60, "", kStart).has_value());
  EXPECT_FALSE(board.silence("errors", kStart + 1e9, "", kStart).has_value());
  ASSERT_TRUE(board.silence("errors", kStart + 100, "a drill", kStart).has_value());
  board.observe(ended(kStart, 500), kStart);
  EXPECT_TRUE(board.evaluate(kStart).empty());
  EXPECT_EQ(state_of(board, kStart, "burn-1h"), AlertState::kFiring);
  EXPECT_TRUE(board.evaluate(kStart + 99).empty());
  EXPECT_EQ(board.evaluate(kStart + 100).size(), 1U);
}

TEST(SloBoard, ABudgetIsOfTheDay) {
  Slo slo;
  slo.name = "tokens";
  slo.kind = SloKind::kBudget;
  slo.amount = 1000;
  slo.burn_rules = default_budget_rules(false);
  ASSERT_TRUE(check_slo(slo).has_value());
  SloBoard board({slo}, kStart);
  store::TrafficRequest row = ended(kStart + 20 * kHourSeconds);
  row.tokens = {.prompt_fresh = 600, .prompt_cached = 100, .answer_visible = 250};
  board.observe(row, kStart + 20 * kHourSeconds);
  EXPECT_NEAR(board.standings(kStart + 20 * kHourSeconds).at(0).left, 0.05, 1e-12);
  (void)board.evaluate(kStart + 20 * kHourSeconds);
  EXPECT_EQ(state_of(board, kStart, "exhausted"), AlertState::kInactive);
  board.observe(row, kStart + 20 * kHourSeconds);
  (void)board.evaluate(kStart + 20 * kHourSeconds);
  EXPECT_EQ(state_of(board, kStart, "exhausted"), AlertState::kFiring);
  EXPECT_EQ(board.standings(kStart + kDaySeconds).at(0).left, 1) << "a new day";
  // 2026-11-23 to the first of the month of UTC.
  EXPECT_EQ(format_utc(period_begin(kStart + 1e5, true)).substr(8), "01T00:00:00Z");
}

TEST(SloWindow, LateOnesCountWhereTheyBelongAndOldOnesFallOut) {
  SloWindow window;
  EXPECT_TRUE(window.add(kStart + 600, {1, 1}));
  EXPECT_TRUE(window.add(kStart, {1, 0}));
  EXPECT_EQ(window.last(kStart + 600, 300).sum.events, 1);
  EXPECT_EQ(window.last(kStart + 600, 3600).sum.events, 2);
  EXPECT_EQ(window.last(kStart + kMinutesSecondsMax, kMinutesSecondsMax).sum.events, 1);
  EXPECT_EQ(window.last(kStart + kMinutesSecondsMax, 30 * kDaySeconds).sum.events, 2);
  EXPECT_TRUE(window.add(kStart + 32 * kDaySeconds, {1, 0}));
  EXPECT_FALSE(window.add(kStart, {1, 0})) << "older than a month";
  EXPECT_EQ(window.last(kStart + 32 * kDaySeconds, 30 * kDaySeconds).sum.events, 1);
}

TEST(SloBad, WhatCountsAndWhatIsGood) {
  Slo first;
  first.kind = SloKind::kLatency;
  first.first_token_s = 2;
  store::TrafficRequest row = ended(kStart);
  EXPECT_EQ(slo_bad(first, row), std::nullopt) << "an embedding has no first token";
  row.seconds.first_token = 2;
  EXPECT_EQ(slo_bad(first, row), 0);
  row.seconds.first_token = 2.01;
  EXPECT_EQ(slo_bad(first, row), 1);
  row.id = "batch_req_1";
  EXPECT_EQ(slo_bad(first, row), std::nullopt) << "nobody waits for it";
  // Who left before the limit says nothing, who left after it was kept waiting.
  row = ended(kStart);
  row.end = "cancelled";
  EXPECT_EQ(slo_bad(first, row), std::nullopt);
  row.seconds.total = 3;
  EXPECT_EQ(slo_bad(first, row), 1);

  Slo goodput;
  goodput.kind = SloKind::kGoodput;
  goodput.inter_token_s = 0.1;
  goodput.end_to_end_s = 10;
  row = ended(kStart);
  row.seconds.first_token = 1;
  row.seconds.total = 3;
  row.tokens.answer_visible = 21;  // 20 gaps in 2 seconds
  EXPECT_EQ(slo_bad(goodput, row), 0);
  row.tokens.answer_visible = 20;
  EXPECT_EQ(slo_bad(goodput, row), 1);
  EXPECT_EQ(slo_bad(goodput, ended(kStart, 503)), 1);
  EXPECT_EQ(slo_bad(goodput, ended(kStart, 404)), std::nullopt);

  Slo errors;
  EXPECT_EQ(slo_bad(errors, ended(kStart, 429)), std::nullopt);
  errors.counts_client_errors = true;
  EXPECT_EQ(slo_bad(errors, ended(kStart, 429)), 1);
  errors.filters.model = "m";
  EXPECT_EQ(slo_bad(errors, ended(kStart)), std::nullopt);
}

TEST(AlertWebhook, IsSignedAsRfc4231Says) {
  // Test cases 2 and 6.
  EXPECT_EQ(webhook_signature("Jefe", "what do ya want for nothing?"),
            "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(webhook_signature(std::string(131, '\xaa'),
                              "Test Using Larger Than Block-Size Key - Hash Key First"),
            "sha256=60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
  EXPECT_EQ(alert_time(0), "0001-01-01T00:00:00Z");
  EXPECT_EQ(alert_time(1.25), "1970-01-01T00:00:01.250Z");
}

class FakeReceiver {
 public:
  explicit FakeReceiver(std::deque<int> statuses = {}) : statuses_(std::move(statuses)) {}
  AlertSinks::Post post() {
    return [this](const WebhookTarget&, const std::vector<net::HttpHeader>&, std::string body) {
      {
        const std::lock_guard lock(mutex);
        bodies.push_back(std::move(body));
      }
      came.release();
      const std::lock_guard lock(mutex);
      if (statuses_.empty()) return PostReply{200};
      const int status = statuses_.front();
      if (statuses_.size() > 1) statuses_.pop_front();
      return PostReply{status};
    };
  }
  void await(int posts) {
    for (int i = 0; i < posts; ++i) came.acquire();
  }
  std::mutex mutex;
  std::vector<std::string> bodies;
  std::counting_semaphore<> came{0};

 private:
  std::deque<int> statuses_;
};

AlertSinks::Options sink_options() {
  AlertSinks::Options options;
  options.webhooks = {{.name = "pager", .url = "http://x"}};
  options.is_logged = false;
  options.retry_seconds = 0.001;
  return options;
}

AlertNotice notice_of(const std::string& objective, const std::string& severity = "page") {
  return {objective,
          {{.is_firing = true,
            .labels = {{"objective", objective}, {"severity", severity}},
            .annotations = {},
            .starts_s = 1}}};
}

std::int64_t count_of(const AlertSinks& sinks, AlertResult result) {
  return sinks.stats().at(0).results[static_cast<std::size_t>(result)];
}

TEST(AlertSinks, TryAgainWhatMayBeTakenAndCountWhatIsNot) {
  FakeReceiver receiver({500, 0, 429, 200, 400, 200});
  AlertSinks sinks(sink_options(), receiver.post());
  sinks.send(notice_of("a"));
  receiver.await(4);
  sinks.send(notice_of("b"));
  receiver.await(1);
  sinks.send(notice_of("c"));
  receiver.await(1);
  EXPECT_TRUE(sinks.stop().empty());
  EXPECT_EQ(count_of(sinks, AlertResult::kSent), 2);
  EXPECT_EQ(count_of(sinks, AlertResult::kFailed), 4);
  EXPECT_EQ(count_of(sinks, AlertResult::kRefused), 1);
  EXPECT_EQ(receiver.bodies[0], receiver.bodies[3]) << "the same again";
}

TEST(AlertSinks, AFullQueueLosesTheOldestAndAnEndNone) {
  FakeReceiver receiver({503});
  AlertSinks::Options options = sink_options();
  options.retry_seconds = 60;
  options.waiting_max = 3;
  options.webhooks[0].severities = {"page"};
  AlertSinks sinks(options, receiver.post());
  sinks.send(notice_of("first"));
  receiver.await(1);
  for (const char* name : {"a", "b", "c", "d"}) sinks.send(notice_of(name));
  sinks.send(notice_of("no-page", "ticket"));
  EXPECT_EQ(count_of(sinks, AlertResult::kQueueFull), 2);
  EXPECT_EQ(sinks.stop(), (std::set<std::string>{"first", "c", "d"}));
}

TEST(AlertSinks, GiveUpInTheEnd) {
  FakeReceiver receiver({503});
  AlertSinks::Options options = sink_options();
  options.give_up_seconds = 0;
  AlertSinks sinks(options, receiver.post());
  sinks.send(notice_of("a"));
  receiver.await(1);
  EXPECT_TRUE(sinks.stop().empty());
  EXPECT_EQ(count_of(sinks, AlertResult::kUnreachable), 1);
}

class AlertsRestart : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() /
              ("paring-alerts-" + std::to_string(getpid()) + "-" +
               ::testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::create_directories(folder_);
    Slo slo = error_rate(0.5, kHourSeconds);
    slo.requests_min = 2;
    options_.alerts.objectives = {slo};
    options_.alerts.evaluate_seconds = 3600;  // look() is called here
    options_.file = (folder_ / "alerts.json").string();
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::unique_ptr<Alerts> start(FakeReceiver& receiver) {
    AlertSinks::Options sinks = sink_options();
    sinks.retry_seconds = 60;
    return std::make_unique<Alerts>(options_, std::make_unique<AlertSinks>(sinks, receiver.post()),
                                    nullptr, clock_);
  }
  std::filesystem::path folder_;
  Alerts::Options options_;
  FakeClock clock_{kStart};
};

TEST_F(AlertsRestart, KeepsCountsStatesSilencesAndWhoMustBeTold) {
  FakeReceiver down({503});
  {
    const auto alerts = start(down);
    for (int i = 0; i < 3; ++i) alerts->observe(ended(kStart, 500));
    alerts->look();
    down.await(1);
  }
  clock_.advance(60);
  FakeReceiver up;
  {
    const auto alerts = start(up);
    up.await(1);  // its thread looks at once
    const SloStanding now = alerts->standings().at(0);
    EXPECT_EQ(now.sum.events, 3);
    EXPECT_EQ(now.sum.bad, 3);
    EXPECT_EQ(now.alerts.at(0).status.state, AlertState::kFiring);
    EXPECT_EQ(now.alerts.at(0).status.fired_s, kStart);
    EXPECT_EQ(alerts->changes().size(), 1U);
    ASSERT_TRUE(alerts->silence("errors", 600, "why").has_value());
  }
  {
    const auto alerts = start(up);
    EXPECT_EQ(alerts->standings().at(0).silence_comment, "why");
    alerts->look();
    EXPECT_FALSE(up.came.try_acquire()) << "told before";
  }
  // Another meaning counts anew; another target does not.
  options_.alerts.objectives[0].target = 0.6;
  EXPECT_EQ(start(up)->standings().at(0).sum.events, 3);
  options_.alerts.objectives[0].counts_client_errors = true;
  EXPECT_EQ(start(up)->standings().at(0).sum.events, 0);
}

TEST_F(AlertsRestart, ADamagedFileIsMovedAside) {
  std::ofstream(options_.file) << "{\"version\": 1, \"at\": \"noon\"}";
  FakeReceiver up;
  EXPECT_EQ(start(up)->standings().size(), 1U);
  EXPECT_TRUE(std::filesystem::exists(options_.file + ".damaged"));
}

TEST_F(AlertsRestart, RowsAfterTheStateCountOnce) {
  auto db = store::TrafficDb::open({.data = folder_.string()});
  ASSERT_TRUE(db.has_value());
  FakeReceiver up;
  std::vector<store::TrafficRequest> rows;
  for (int i = 0; i < 10; ++i) {
    rows.push_back(ended(kStart - 200 + i * 40, i % 2 == 0 ? 500 : 200));
    rows.back().id = "req_" + std::to_string(i);
  }
  {
    const auto alerts = start(up);
    for (const auto& row : rows) alerts->observe(row);
  }
  // As if it had been killed: rows after the state was written, and one that others sent.
  clock_.advance(300);
  rows.push_back(ended(kStart + 300));
  rows.back().id = "late";
  rows.push_back(ended(kStart + 300));
  rows.back().id = "of others";
  rows.back().route = "chat";
  const store::TrafficAppended kept = db->append(rows, {});
  ASSERT_EQ(kept.written, 12);
  const Alerts alerts(options_, std::make_unique<AlertSinks>(sink_options(), up.post()), &*db,
                      clock_);
  const SloStanding now = alerts.standings().at(0);
  EXPECT_EQ(now.sum.events, 11);
  EXPECT_EQ(now.sum.bad, 5);
  EXPECT_EQ(now.ever.events, 11);
}

}  // namespace
}  // namespace paring::monitor
