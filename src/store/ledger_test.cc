// SPDX-License-Identifier: Apache-2.0
#include "store/ledger.h"

#include <atomic>
#include <thread>
#include <vector>

#include "base/random.h"
#include "store/control_db_for_test.h"

namespace paring::store {
namespace {

constexpr std::int64_t kNow = 1'700'000'000;  // 2023-11-14 22:13:20
constexpr std::int64_t kDay = 1'699'920'000;  // its midnight

class LedgerTest : public ControlDbTest {
 protected:
  ControlDb open_with_budgets(std::vector<Budget> budgets) {
    ControlDb control = open();
    KeyRow key = key_for_test("key_1");
    key.limits.budgets = std::move(budgets);
    EXPECT_TRUE(Keys(control).insert(key).has_value());
    return control;
  }
  static ReservationRequest request(std::int64_t tokens, std::int64_t now_s = kNow) {
    return {"key_1", "request", tokens, tokens, now_s};
  }
};

TEST_F(LedgerTest, PeriodsAreDaysAndMonthsOfUtc) {
  EXPECT_EQ(budget_period_start(BudgetPeriod::kDay, kNow), kDay);
  EXPECT_EQ(budget_period_end(BudgetPeriod::kDay, kNow), kDay + 86400);
  EXPECT_EQ(budget_period_start(BudgetPeriod::kDay, kDay), kDay);
  EXPECT_EQ(budget_period_start(BudgetPeriod::kDay, kDay - 1), kDay - 86400);
  EXPECT_EQ(budget_period_start(BudgetPeriod::kMonth, kNow), 1'698'796'800);         // 2023-11-01
  EXPECT_EQ(budget_period_end(BudgetPeriod::kMonth, kNow), 1'701'388'800);           // 2023-12-01
  EXPECT_EQ(budget_period_end(BudgetPeriod::kMonth, 1'703'980'800), 1'704'067'200);  // year's end
  EXPECT_EQ(budget_period_start(BudgetPeriod::kTotal, kNow), 0);
  EXPECT_FALSE(budget_period_end(BudgetPeriod::kTotal, kNow).has_value());
}

TEST_F(LedgerTest, ABudgetIsSpentToItsLastTokenAndNoFurther) {
  const ControlDb control = open_with_budgets({{BudgetPeriod::kTotal, 100}});
  const Ledger ledger(control);
  const auto first = ledger.reserve(request(60));
  ASSERT_TRUE(first->id.has_value());
  const auto second = ledger.reserve(request(41));
  ASSERT_FALSE(second->id.has_value());
  EXPECT_EQ(second->refusal->limit, 100);
  EXPECT_EQ(second->refusal->reserved, 60);
  EXPECT_EQ(second->refusal->settled, 0);
  EXPECT_TRUE(ledger.reserve(request(40))->id.has_value());
  // What was not used is free again.
  ASSERT_TRUE(ledger.settle(*first->id, 10, kNow).has_value());
  EXPECT_FALSE(ledger.reserve(request(51))->id.has_value());
  EXPECT_TRUE(ledger.reserve(request(50))->id.has_value());
  EXPECT_FALSE(ledger.reserve(request(1))->id.has_value());
  EXPECT_TRUE(ledger.reserve(request(0))->id.has_value());
  EXPECT_TRUE(ledger.check().has_value());
}

TEST_F(LedgerTest, EachPeriodHasItsOwnBudgetAndTheTightestHolds) {
  const ControlDb control = open_with_budgets(
      {{BudgetPeriod::kDay, 10}, {BudgetPeriod::kMonth, 15}, {BudgetPeriod::kTotal, 17}});
  const Ledger ledger(control);
  const auto spend_one = [&](std::int64_t tokens, std::int64_t now_s) {
    const auto reserved = ledger.reserve(request(tokens, now_s));
    if (!reserved->id) return reserved->refusal->period;
    EXPECT_TRUE(ledger.settle(*reserved->id, tokens, now_s).has_value());
    return BudgetPeriod::kDay;  // of no meaning
  };
  spend_one(10, kNow);
  EXPECT_EQ(spend_one(1, kNow), BudgetPeriod::kDay);
  spend_one(5, kNow + 86400);
  EXPECT_EQ(spend_one(1, kNow + 86400), BudgetPeriod::kMonth);
  spend_one(2, kNow + 30 * 86400);
  EXPECT_EQ(spend_one(1, kNow + 60 * 86400), BudgetPeriod::kTotal);
  EXPECT_EQ(*ledger.total_charged("key_1"), 17);
}

TEST_F(LedgerTest, ARequestCountsInThePeriodInWhichItBegan) {
  const ControlDb control = open_with_budgets({{BudgetPeriod::kDay, 10}});
  const Ledger ledger(control);
  const auto reserved = ledger.reserve(request(10, kDay + 86399));
  ASSERT_TRUE(ledger.settle(*reserved->id, 8, kDay + 86401).has_value());
  EXPECT_EQ(ledger.spend("key_1", kDay)->front().settled, 8);
  EXPECT_EQ(ledger.spend("key_1", kDay + 86400)->front().settled, 0);
  EXPECT_TRUE(ledger.check().has_value());
}

TEST_F(LedgerTest, AReservationEndsOnce) {
  const ControlDb control = open_with_budgets({{BudgetPeriod::kTotal, 100}});
  const Ledger ledger(control);
  const auto reserved = ledger.reserve(request(10));
  ASSERT_TRUE(ledger.settle(*reserved->id, 5, kNow).has_value());
  EXPECT_EQ(ledger.settle(*reserved->id, 5, kNow).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(*ledger.total_charged("key_1"), 5);
}

TEST_F(LedgerTest, MoreThanWasReservedIsNeverCharged) {
  const ControlDb control = open_with_budgets({{BudgetPeriod::kTotal, 100}});
  const Ledger ledger(control);
  const auto reserved = ledger.reserve(request(10));
  EXPECT_EQ(ledger.settle(*reserved->id, 11, kNow).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(*ledger.total_charged("key_1"), 10);
  EXPECT_TRUE(ledger.check().has_value());
}

TEST_F(LedgerTest, ImpossibleNumbersAreRefused) {
  const ControlDb control = open_with_budgets({});
  const Ledger ledger(control);
  const auto code = [&](std::int64_t tokens, std::int64_t lost) {
    return ledger.reserve({"key_1", "r", tokens, lost, kNow}).error().code;
  };
  EXPECT_EQ(code(-1, 0), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code(std::numeric_limits<std::int64_t>::max(), 0), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code(5, 6), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code(5, -1), ErrorCode::kInvalidArgument);
  EXPECT_EQ(ledger.reserve({"nobody", "r", 1, 1, kNow}).error().code, ErrorCode::kNotFound);
}

TEST_F(LedgerTest, WhatADeadProcessLeftIsChargedAsItSaid) {
  {
    const ControlDb control = open_with_budgets({{BudgetPeriod::kTotal, 100}});
    const Ledger ledger(control);
    const auto first = ledger.reserve({"key_1", "a", 50, 20, kNow});
    ASSERT_TRUE(ledger.raise_charge_if_lost(*first->id, 30).has_value());
    ASSERT_TRUE(ledger.raise_charge_if_lost(*first->id, 25).has_value());  // never lowers
    ASSERT_TRUE(ledger.reserve({"key_1", "b", 40, 5, kNow})->id.has_value());
    EXPECT_EQ(ledger.raise_charge_if_lost(99, 1).error().code, ErrorCode::kNotFound);
  }
  const ControlDb control = open();
  const Ledger ledger(control);
  const auto recovered = ledger.recover(kNow);
  ASSERT_TRUE(recovered.has_value());
  EXPECT_EQ(recovered->count, 2);
  EXPECT_EQ(recovered->tokens_charged, 35);
  EXPECT_EQ(ledger.spend("key_1", kNow)->back().settled, 35);
  EXPECT_EQ(ledger.spend("key_1", kNow)->back().reserved, 0);
  EXPECT_EQ(ledger.recover(kNow)->count, 0);
  EXPECT_TRUE(ledger.check().has_value());
}

TEST_F(LedgerTest, ManyThreadsNeverOverspend) {
  constexpr std::int64_t kBudget = 5000;
  const ControlDb control = open_with_budgets({{BudgetPeriod::kTotal, kBudget}});
  std::atomic<std::int64_t> used{0};
  std::atomic<std::int64_t> refused{0};
  std::vector<std::thread> threads;
  for (std::uint64_t thread = 0; thread < 8; ++thread) {
    threads.emplace_back([&, thread] {
      const Ledger ledger(control);
      RandomStream random({.seed = 4, .sequence = thread});
      for (int i = 0; i < 125; ++i) {
        const std::int64_t tokens = 1 + random.below(40);
        const auto reserved = ledger.reserve(request(tokens));
        ASSERT_TRUE(reserved.has_value()) << reserved.error().text();
        if (!reserved->id) {
          refused.fetch_add(1);
          continue;
        }
        const std::int64_t actual = random.below(static_cast<std::uint32_t>(tokens) + 1);
        ASSERT_TRUE(ledger.settle(*reserved->id, actual, kNow).has_value());
        used.fetch_add(actual);
        const auto spend = ledger.spend("key_1", kNow)->back();
        EXPECT_LE(spend.settled + spend.reserved, kBudget);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(refused.load(), 0);
  EXPECT_EQ(*Ledger(control).total_charged("key_1"), used.load());
  EXPECT_LE(used.load(), kBudget);
  EXPECT_TRUE(Ledger(control).check().has_value());
}

}  // namespace
}  // namespace paring::store
