// SPDX-License-Identifier: Apache-2.0
#include "monitor/token_costs.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>

#include "base/metrics.h"

namespace paring::monitor {
namespace {

constexpr double kDay = 86400;
constexpr double kJanuary = 20454 * kDay;  // 2026-01-01
constexpr const char* kBook = R"({"currency":"EUR","prices":[
  {"from":"2026-01-01","models":{"m":{"prompt_per_million":1,"cached_prompt_per_million":0.5,
                                      "answer_per_million":4,"reasoning_per_million":8}}},
  {"from":"2026-02-01","models":{"m":{"prompt_per_million":100}}}]})";

store::TrafficRequest row_of(const std::string& model, double when_s = kJanuary) {
  store::TrafficRequest row;
  row.model = model;
  row.started_s = when_s;
  row.status = 200;
  row.end = "stop";
  row.tokens = {
      .prompt_fresh = 1000, .prompt_cached = 2000, .answer_visible = 300, .answer_reasoning = 200};
  return row;
}

class TokenCostsTest : public testing::Test {
 protected:
  store::TrafficMoney charged(store::TrafficRequest row, const std::string& also = "",
                              bool is_told = true) {
    costs.charge(book, row, also, is_told);
    return row.money;
  }
  static std::uint64_t unknown() { return metrics().unpriced_unknown_model.value(); }
  static std::uint64_t not_told() { return metrics().unpriced_tokens_not_told.value(); }

  PriceBook book = PriceBook::read(kBook).value();
  TokenCosts costs;
};

constexpr double kCost = (1000 * 1 + 2000 * 0.5 + 300 * 4 + 200 * 8) / 1e6;

TEST_F(TokenCostsTest, ChargesByClassAndDay) {
  EXPECT_DOUBLE_EQ(charged(row_of("m")).tokens, kCost);
  EXPECT_DOUBLE_EQ(charged(row_of("m", kJanuary + 31 * kDay)).tokens, 3000 * 100 / 1e6);
  EXPECT_DOUBLE_EQ(charged(row_of("alias"), "m").tokens, kCost) << "as its answer names it";
  EXPECT_EQ(charged(row_of("m")).currency, "EUR");
  EXPECT_DOUBLE_EQ(costs.total().tokens, 3 * kCost + 0.3);
  EXPECT_EQ(costs.total().currency, "EUR");
}

TEST_F(TokenCostsTest, WhatHasNoPriceIsCountedAndHasNoMoney) {
  const std::uint64_t unknown_before = unknown();
  const std::uint64_t not_told_before = not_told();
  EXPECT_EQ(charged(row_of("x")).currency, "");
  EXPECT_EQ(charged(row_of("x"), "y").currency, "");
  EXPECT_EQ(charged(row_of("m", 0)).currency, "") << "before the first price";
  EXPECT_EQ(unknown(), unknown_before + 3);
  EXPECT_EQ(not_told(), not_told_before);
  EXPECT_EQ(charged(row_of("m"), "", /*is_told=*/false).currency, "") << "they are a guess";
  store::TrafficRequest silent = row_of("m");
  silent.tokens = {};
  EXPECT_EQ(charged(silent).currency, "");
  EXPECT_EQ(not_told(), not_told_before + 2);
  // Nothing was asked of a model.
  silent.status = 429;
  EXPECT_EQ(charged(silent).currency, "");
  EXPECT_EQ(charged(row_of("")).currency, "");
  EXPECT_EQ(not_told(), not_told_before + 2);
  EXPECT_EQ(unknown(), unknown_before + 3);
  EXPECT_EQ(costs.total().currency, "");
}

TEST_F(TokenCostsTest, WithoutABookNothingIsSaid) {
  book = PriceBook();
  const std::uint64_t before = unknown() + not_told();
  EXPECT_EQ(charged(row_of("m")).currency, "");
  EXPECT_EQ(charged(row_of("m"), "", false).currency, "");
  EXPECT_EQ(unknown() + not_told(), before);
}

}  // namespace
}  // namespace paring::monitor
