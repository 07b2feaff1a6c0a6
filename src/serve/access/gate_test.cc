// SPDX-License-Identifier: Apache-2.0
#include "serve/access/gate.h"

#include <atomic>
#include <thread>
#include <vector>

#include "base/random.h"
#include "serve/access/key_admin.h"
#include "serve/access/token_bucket.h"
#include "store/control_db_for_test.h"

namespace paring::serve {
namespace {

constexpr double kNow = 1'700'000'000;  // 2023-11-14 22:13:20 UTC
constexpr double kUntilMidnight = 6400;

TEST(TokenBucket, FillsEvenlyUpToAMinute) {
  TokenBucket bucket(60, 100);
  EXPECT_EQ(bucket.remaining(100), 60);
  EXPECT_TRUE(bucket.take(60, 100));
  EXPECT_FALSE(bucket.take(1, 100.5));
  EXPECT_DOUBLE_EQ(bucket.seconds_until(1, 100.5), 0.5);
  EXPECT_TRUE(bucket.take(1, 101));
  EXPECT_EQ(bucket.remaining(1000), 60);
  bucket.give_back(60, 1000);
  EXPECT_EQ(bucket.remaining(1000), 60);
}

TEST(TokenBucket, AClockThatGoesBackGivesNothing) {
  TokenBucket bucket(60, 100);
  ASSERT_TRUE(bucket.take(60, 100));
  EXPECT_EQ(bucket.remaining(50), 0);
  EXPECT_EQ(bucket.remaining(100), 0);
  EXPECT_EQ(bucket.remaining(110), 10);
}

class GateTest : public store::ControlDbTest {
 protected:
  static Principal principal(store::KeyLimits limits) {
    return {PrincipalKind::kFile, "file:a", "default", "a", default_scopes(), std::move(limits)};
  }
  // A key of the database with budgets.
  Principal with_budgets(const store::ControlDb& control, std::vector<store::Budget> budgets) {
    store::KeyRow key = store::key_for_test("key_1");
    key.limits.budgets = budgets;
    EXPECT_TRUE(store::Keys(control).insert(key).has_value());
    Principal principal{PrincipalKind::kDatabase, "key_1", "default", "a", default_scopes(), {}};
    principal.limits.budgets = std::move(budgets);
    return principal;
  }
  static Work work(std::int64_t prompt, std::int64_t answer) { return {"r", prompt, answer}; }
  FakeClock clock_{kNow};
};

TEST_F(GateTest, RequestsAMinute) {
  Gate gate(nullptr, clock_);
  const Principal who = principal({.requests_per_minute = 3});
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(gate.admit(who, work(1, 1)));
  auto refused = gate.admit(who, work(1, 1));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().status, 429);
  EXPECT_EQ(refused.error().code, "rate_limit_exceeded");
  EXPECT_NEAR(*refused.error().retry_after_seconds, 20, 1e-6);
  clock_.advance(*refused.error().retry_after_seconds + 1e-6);
  EXPECT_TRUE(gate.admit(who, work(1, 1)));
  EXPECT_FALSE(gate.admit(who, work(1, 1)));
  // Another key has its own.
  Principal other = who;
  other.key_id = "file:b";
  EXPECT_TRUE(gate.admit(other, work(1, 1)));
}

TEST_F(GateTest, TokensAMinuteCountWhatWasUsed) {
  Gate gate(nullptr, clock_);
  const Principal who = principal({.tokens_per_minute = 600});
  auto first = gate.admit(who, work(100, 400));
  ASSERT_TRUE(first);
  auto refused = gate.admit(who, work(100, 100));
  ASSERT_FALSE(refused);
  EXPECT_NEAR(*refused.error().retry_after_seconds, 10, 1e-6);  // 100 more at 10 a second
  ASSERT_TRUE(first->settle(150).has_value());                  // 350 come back
  EXPECT_EQ(gate.rate_state(who).tokens->remaining, 450);
  EXPECT_TRUE(gate.admit(who, work(100, 350)));
  auto too_large = gate.admit(who, work(600, 1));
  ASSERT_FALSE(too_large);
  EXPECT_FALSE(too_large.error().retry_after_seconds.has_value());
  EXPECT_NE(too_large.error().message.find("601"), std::string::npos);
}

TEST_F(GateTest, ConcurrentRequests) {
  Gate gate(nullptr, clock_);
  const Principal who = principal({.requests_per_minute = 3, .concurrent_requests = 2});
  auto first = gate.admit(who, work(1, 1));
  auto second = gate.admit(who, work(1, 1));
  ASSERT_TRUE(first && second);
  auto refused = gate.admit(who, work(1, 1));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().status, 429);
  EXPECT_GE(*refused.error().retry_after_seconds, 1);
  ASSERT_TRUE(first->settle(1).has_value());
  // What was refused did not count as one of the three.
  EXPECT_TRUE(gate.admit(who, work(1, 1)));
}

TEST_F(GateTest, StepsOfTheWallClockChangeNoRate) {
  class StepClock final : public Clock {
   public:
    double monotonic_seconds() const noexcept override { return 5; }
    double wall_seconds() const noexcept override { return wall; }
    double wall = kNow;
  } clock;
  Gate gate(nullptr, clock);
  const Principal who = principal({.requests_per_minute = 1});
  ASSERT_TRUE(gate.admit(who, work(1, 1)));
  for (const double wall : {kNow + 1e6, kNow - 1e6, 0.0}) {
    clock.wall = wall;
    EXPECT_FALSE(gate.admit(who, work(1, 1)));
  }
}

TEST_F(GateTest, ABudgetThatIsSpentIsInsufficientQuota) {
  const store::ControlDb control = open();
  Gate gate(&control, clock_);
  const Principal who = with_budgets(control, {{store::BudgetPeriod::kDay, 1000}});
  auto first = gate.admit(who, work(100, 800));
  ASSERT_TRUE(first);
  // Room is set aside, not used.
  auto held = gate.admit(who, work(100, 100));
  ASSERT_FALSE(held);
  EXPECT_EQ(held.error().code, "rate_limit_exceeded");
  EXPECT_EQ(held.error().retry_after_seconds, 1);
  ASSERT_TRUE(first->settle(900).has_value());
  auto spent = gate.admit(who, work(100, 100));
  ASSERT_FALSE(spent);
  EXPECT_EQ(spent.error().status, 429);
  EXPECT_EQ(spent.error().code, "insufficient_quota");
  EXPECT_NEAR(*spent.error().retry_after_seconds, kUntilMidnight, 1);
  clock_.advance(*spent.error().retry_after_seconds);
  EXPECT_TRUE(gate.admit(who, work(100, 100)));
  auto never = gate.admit(who, work(1000, 1));
  ASSERT_FALSE(never);
  EXPECT_EQ(never.error().code, "insufficient_quota");
  EXPECT_FALSE(never.error().retry_after_seconds.has_value());
}

TEST_F(GateTest, WhatTheBudgetRefusedCountsInNoRate) {
  const store::ControlDb control = open();
  Gate gate(&control, clock_);
  Principal who = with_budgets(control, {{store::BudgetPeriod::kTotal, 10}});
  who.limits.requests_per_minute = 2;
  who.limits.concurrent_requests = 1;
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(gate.admit(who, work(10, 10)));
  EXPECT_EQ(gate.rate_state(who).requests->remaining, 2);
  EXPECT_TRUE(gate.admit(who, work(5, 5)));
}

TEST_F(GateTest, AnAdmissionThatIsDroppedChargesWhatItHasNoted) {
  const store::ControlDb control = open();
  Gate gate(&control, clock_);
  const Principal who = with_budgets(control, {{store::BudgetPeriod::kTotal, 10'000}});
  const store::Ledger ledger(control);
  {
    auto admission = gate.admit(who, work(100, 5000));
    ASSERT_TRUE(admission);
    Admission moved = std::move(*admission);
    ASSERT_TRUE(moved.note_generated(1000).has_value());
  }
  const std::int64_t charged = *ledger.total_charged("key_1");
  EXPECT_GE(charged, 1100);
  EXPECT_LE(charged, 1100 + 1000);
  EXPECT_EQ(ledger.spend("key_1", static_cast<std::int64_t>(kNow))->back().reserved, 0);
}

TEST_F(GateTest, ADatabaseThatIsHeldRefuses) {
  const store::ControlDb control =
      store::ControlDb::open({.folder = folder_, .busy_ms = 20}).value();
  const Principal who = with_budgets(control, {{store::BudgetPeriod::kTotal, 10'000}});
  Gate gate(&control, clock_);
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  // Another process writes and does not come to an end.
  std::thread holder([&] {
    const store::ControlDb other = open();
    store::hold_for_test(other, [&] {
      EXPECT_EQ(::write(ends[1], "x", 1), 1);
      store::sleep_us_for_test(300'000);
    });
  });
  char held = 0;
  ASSERT_EQ(::read(ends[0], &held, 1), 1);
  auto refused = gate.admit(who, work(1, 1));
  holder.join();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().status, 503);
  EXPECT_TRUE(refused.error().retry_after_seconds.has_value());
  EXPECT_TRUE(gate.admit(who, work(1, 1)));
  ::close(ends[0]);
  ::close(ends[1]);
}

// Budgets under many requests at once, some of which break off, and processes that are killed in
// their work: what was charged never exceeds the budget, and the ledger adds up. Up to a thousand
// requests a round, counted and not timed: a machine may be quick or slow.
TEST_F(GateTest, AThousandRequestsAndRandomKillsNeverOverspend) {
  constexpr std::int64_t kBudget = 400'000;
  constexpr int kRounds = 8;
  {
    const store::ControlDb control = open();
    (void)with_budgets(control, {{store::BudgetPeriod::kTotal, kBudget}});
  }
  RandomStream random({.seed = 20});
  std::int64_t generated_before = 0;  // of requests whose end was acknowledged, and of noted ones
  int kills_in_work = 0;
  for (int round = 0; round < kRounds; ++round) {
    int said[2];
    ASSERT_EQ(::pipe(said), 0);
    const pid_t child = store::fork_for_test([&, round] {
      const store::ControlDb control = open();
      Gate gate(&control, system_clock());
      if (!gate.recover()) return 1;
      Principal who{PrincipalKind::kDatabase, "key_1", "default", "a", default_scopes(), {}};
      who.limits.budgets = {{store::BudgetPeriod::kTotal, kBudget}};
      std::vector<std::thread> threads;
      for (std::uint64_t thread = 0; thread < 20; ++thread) {
        threads.emplace_back([&, thread] {
          RandomStream dice(
              {.seed = 21, .sequence = thread, .position = static_cast<std::uint32_t>(round)});
          for (;;) {
            const std::int64_t prompt = 1 + dice.below(20);
            const std::int64_t answer = 1 + dice.below(600);
            auto admission = gate.admit(who, {"r", prompt, answer});
            if (!admission) {
              const std::int64_t nothing = 0;
              if (::write(said[1], &nothing, sizeof(nothing)) != sizeof(nothing)) return;
              continue;
            }
            const std::int64_t generated = dice.below(static_cast<std::uint32_t>(answer) + 1);
            for (std::int64_t at = 0; at < generated; at += Admission::kAheadTokens) {
              if (!admission->note_generated(at)) return;
            }
            const std::int64_t used = prompt + generated;
            // A quarter breaks off in a way that nobody settles.
            if (dice.below(4) != 0 && !admission->settle(used)) return;
            if (::write(said[1], &used, sizeof(used)) != sizeof(used)) return;
          }
        });
      }
      for (std::thread& thread : threads) thread.join();
      return 0;
    });
    ::close(said[1]);
    std::int64_t used = 0;
    const auto read_one = [&] {
      if (::read(said[0], &used, sizeof(used)) != sizeof(used)) return false;
      generated_before += used;
      return true;
    };
    for (std::uint32_t left = 20 + random.below(980); left > 0 && read_one(); --left) {
    }
    ::kill(child, SIGKILL);
    if (store::wait_for_test(child) == 128 + SIGKILL) ++kills_in_work;
    while (read_one()) {
    }
    ::close(said[0]);
    const store::ControlDb control = open();
    const store::Ledger ledger(control);
    ASSERT_TRUE(ledger.check().has_value());
    ASSERT_TRUE(ledger.recover(1).has_value());
    ASSERT_TRUE(ledger.check().has_value());
    const store::SpendRow total = ledger.spend("key_1", 1)->back();
    EXPECT_EQ(total.reserved, 0);
    EXPECT_EQ(total.settled, *ledger.total_charged("key_1"));
    EXPECT_LE(total.settled, kBudget);
    // Nothing that was generated is missing.
    EXPECT_GE(total.settled, generated_before);
  }
  EXPECT_EQ(kills_in_work, kRounds);
  EXPECT_GT(generated_before, 0);
}

TEST_F(GateTest, AThousandConcurrentRequestsAddUp) {
  constexpr std::int64_t kBudget = 30'000;
  const store::ControlDb control = open();
  const Principal who = with_budgets(control, {{store::BudgetPeriod::kMonth, kBudget}});
  Gate gate(&control, clock_);
  std::atomic<std::int64_t> used{0};
  std::atomic<int> refused{0};
  std::vector<std::thread> threads;
  for (std::uint64_t thread = 0; thread < 50; ++thread) {
    threads.emplace_back([&, thread] {
      RandomStream dice({.seed = 22, .sequence = thread});
      for (int i = 0; i < 20; ++i) {
        const std::int64_t answer = 1 + dice.below(100);
        auto admission = gate.admit(who, {"r", 10, answer});
        if (!admission) {
          refused.fetch_add(1);
          continue;
        }
        const std::int64_t tokens = 10 + dice.below(static_cast<std::uint32_t>(answer) + 1);
        used.fetch_add(tokens);
        EXPECT_TRUE(admission->settle(tokens).has_value());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const store::Ledger ledger(control);
  EXPECT_EQ(*ledger.total_charged("key_1"), used.load());
  EXPECT_LE(used.load(), kBudget);
  EXPECT_GT(refused.load(), 0);
  EXPECT_TRUE(ledger.check().has_value());
}

}  // namespace
}  // namespace paring::serve
