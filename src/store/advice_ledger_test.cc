// SPDX-License-Identifier: Apache-2.0
#include "store/advice_ledger.h"

#include "store/control_db_for_test.h"

namespace paring::store {
namespace {

constexpr std::int64_t kNow = 1'700'000'000;

class AdviceLedgerTest : public ControlDbTest {
 protected:
  static AdviceRow row(const std::string& action) {
    AdviceRow row;
    row.made_s = kNow;
    row.made_by = "key_1";
    row.model = "m";
    row.variant_before = "abc";
    row.action = action;
    row.parameters = R"({"options":{"prefix_cache":true}})";
    row.prediction =
        R"([{"metric":"first_token_seconds","now":2,"low":0.8,"expected":1,"high":1.2}])";
    row.predicted_loss = "none";
    return row;
  }
  static AdviceEvent event(const std::string& kind, const std::string& measured = "[]") {
    return {kNow + 1, kind, "paring", "why", measured};
  }
};

TEST_F(AdviceLedgerTest, KeepsWhatWasPredictedBeforeAndWhatCameOfIt) {
  const ControlDb control = open();
  const AdviceLedger ledger(control);
  const auto first = ledger.append(row("prefix_cache"));
  ASSERT_TRUE(first) << first.error().text();
  const auto second = ledger.append(row("kv_type"));
  ASSERT_TRUE(ledger.add_event(*first, event("applied")));
  ASSERT_TRUE(ledger.add_event(*first, event("kept")));
  const auto all = ledger.list(0, 10);
  ASSERT_TRUE(all) << all.error().text();
  ASSERT_EQ(all->size(), 2U);
  EXPECT_EQ((*all)[0].id, *second) << "newest first";
  EXPECT_EQ((*all)[0].verdict(), "");
  EXPECT_EQ((*all)[1].verdict(), "kept");
  ASSERT_EQ((*all)[1].events.size(), 2U);
  EXPECT_EQ((*all)[1].events[0].kind, "applied");
  EXPECT_EQ((*all)[1].events[0].at_s, kNow + 1);
  EXPECT_EQ((*all)[1].prediction, row("").prediction);
  EXPECT_EQ(ledger.list(*second, 10)->size(), 1U);
  EXPECT_EQ(ledger.list(0, 1)->size(), 1U);
  EXPECT_EQ((*ledger.find(*first))->made_by, "key_1");
  EXPECT_FALSE(ledger.find(99)->has_value());
}

TEST_F(AdviceLedgerTest, WhatHasNotEndedIsOpen) {
  const ControlDb control = open();
  const AdviceLedger ledger(control);
  const std::int64_t proposed = *ledger.append(row("a"));
  const std::int64_t running = *ledger.append(row("b"));
  const std::int64_t ended = *ledger.append(row("c"));
  ASSERT_TRUE(ledger.add_event(running, event("applied")));
  ASSERT_TRUE(ledger.add_event(running, event("measured")));
  ASSERT_TRUE(ledger.add_event(ended, event("applied")));
  ASSERT_TRUE(ledger.add_event(ended, event("rolled_back")));
  const auto open = ledger.open_ones();
  ASSERT_TRUE(open) << open.error().text();
  ASSERT_EQ(open->size(), 2U);
  EXPECT_EQ(open->front().id, proposed);
  EXPECT_EQ(open->back().id, running);
}

TEST_F(AdviceLedgerTest, EndsOnceAndTakesOnlyWhatMakesSense) {
  const ControlDb control = open();
  const AdviceLedger ledger(control);
  const std::int64_t id = *ledger.append(row("a"));
  EXPECT_EQ(ledger.add_event(id, event("forgotten")).error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(ledger.add_event(id + 1, event("applied")).error().code, ErrorCode::kInvalidArgument);
  EXPECT_FALSE(ledger.add_event(id, event("measured", "{}"))) << "no list";
  ASSERT_TRUE(ledger.add_event(id, event("failed")));
  EXPECT_EQ(ledger.add_event(id, event("kept")).error().code, ErrorCode::kInvalidArgument);
  AdviceRow wrong = row("a");
  wrong.parameters = "[]";
  EXPECT_FALSE(ledger.append(wrong));
  wrong = row("a");
  wrong.prediction = "no JSON";
  EXPECT_FALSE(ledger.append(wrong));
  EXPECT_EQ(ledger.list(0, 10)->size(), 1U);
}

TEST_F(AdviceLedgerTest, NoRowChangesOrGoes) {
  const ControlDb control = open();
  const AdviceLedger ledger(control);
  const std::int64_t id = *ledger.append(row("a"));
  ASSERT_TRUE(ledger.add_event(id, event("applied")));
  const auto refused = [&](auto statement) {
    return !control.connections()
                .write(detail::Durability::kProcess,
                       [&](detail::Connection& connection) {
                         return detail::as_void(connection.execute(statement));
                       })
                .has_value();
  };
  EXPECT_TRUE(refused(detail::Sql("DELETE FROM advice_events")));
  EXPECT_TRUE(refused(detail::Sql("UPDATE advice SET prediction = '[]'")));
  EXPECT_TRUE(refused(detail::Sql("UPDATE advice_events SET measured = '[]'")));
  EXPECT_TRUE(refused(detail::Sql("DELETE FROM advice")));
  EXPECT_EQ((*ledger.find(id))->prediction, row("").prediction);
}

TEST_F(AdviceLedgerTest, ResidualsAreMeasuredOverPredictedChanges) {
  const ControlDb control = open();
  const AdviceLedger ledger(control);
  const std::int64_t id = *ledger.append(row("prefix_cache"));
  ASSERT_TRUE(ledger.add_event(id, event("applied")));
  // Predicted: half. Measured: 0.6 of what it was.
  ASSERT_TRUE(ledger.add_event(
      id,
      event("measured", R"([{"metric":"first_token_seconds","before":0.5,"after":0.3,"low":0.2,)"
                        R"("high":0.4,"n":100},{"metric":"memory_bytes","before":9,"after":9}])")));
  const std::int64_t other = *ledger.append(row("kv_type"));
  ASSERT_TRUE(ledger.add_event(
      other, event("measured", R"([{"metric":"first_token_seconds","before":0,"after":0.3}])")));
  const auto found = ledger.residuals("", 10);
  ASSERT_TRUE(found) << found.error().text();
  ASSERT_EQ(found->size(), 1U) << "what was not predicted, or 0 before, has none";
  EXPECT_EQ(found->front().action, "prefix_cache");
  EXPECT_EQ(found->front().metric, "first_token_seconds");
  EXPECT_NEAR(found->front().value, 0.2, 1e-12);
  EXPECT_TRUE(ledger.residuals("kv_type", 10)->empty());
  EXPECT_EQ(ledger.residuals("prefix_cache", 10)->size(), 1U);
}

}  // namespace
}  // namespace paring::store
