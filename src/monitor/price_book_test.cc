// SPDX-License-Identifier: Apache-2.0
#include "monitor/price_book.h"

#include <gtest/gtest.h>

#include <string>

namespace paring::monitor {
namespace {

constexpr double kDay = 86400;
constexpr double kJanuary = 20454 * kDay;  // 2026-01-01
constexpr const char* kBook = R"({"currency":"EUR","prices":[
  {"from":"2026-01-01","hardware_per_hour":3.6,"electricity_per_kwh":0.36,
   "models":{"m":{"prompt_per_million":1,"cached_prompt_per_million":0.5,"answer_per_million":4},
             "n":{"prompt_per_million":2}}},
  {"from":"2026-02-01","hardware_per_hour":7.2}]})";

TEST(PriceBook, APriceHoldsUntilTheNext) {
  const PriceBook book = PriceBook::read(kBook).value();
  EXPECT_EQ(book.at(kJanuary - 1), nullptr);
  EXPECT_EQ(book.at(kJanuary)->hardware_per_hour, 3.6);
  EXPECT_EQ(book.at(kJanuary + 31 * kDay - 1)->hardware_per_hour, 3.6);
  EXPECT_EQ(book.at(kJanuary + 31 * kDay)->hardware_per_hour, 7.2);
  EXPECT_EQ(book.at(kJanuary + 31 * kDay)->electricity_per_kwh, 0);
}

TEST(PriceBook, WorkCostsTimeAndEnergy) {
  const PriceBook book = PriceBook::read(kBook).value();
  const store::TrafficMoney money = book.of_work(kJanuary, 10, 1e6);
  EXPECT_DOUBLE_EQ(money.hardware, 0.01);
  EXPECT_DOUBLE_EQ(money.energy, 0.1);
  EXPECT_EQ(money.tokens, 0);
  EXPECT_EQ(money.currency, "EUR");
  EXPECT_EQ(book.of_work(0, 10, 1e6).currency, "");
  EXPECT_EQ(PriceBook().of_work(kJanuary, 10, 1e6).hardware, 0);
}

TEST(PriceBook, TokensCostWhatTheirClassDoes) {
  const PriceBook book = PriceBook::read(kBook).value();
  const store::TrafficTokens tokens{
      .prompt_fresh = 1000, .prompt_cached = 2000, .answer_visible = 300, .answer_reasoning = 200};
  EXPECT_DOUBLE_EQ(book.of_tokens(kJanuary, "m", tokens).tokens,
                   (1000 * 1 + 2000 * 0.5 + 500 * 4) / 1e6);
  // A cached token costs what another does where no price is told.
  EXPECT_DOUBLE_EQ(book.of_tokens(kJanuary, "n", tokens).tokens, 3000 * 2 / 1e6);
  EXPECT_EQ(book.of_tokens(kJanuary, "x", tokens).currency, "");
}

TEST(PriceBook, ReasoningAndFamiliesOfModels) {
  const PriceBook book = PriceBook::read(R"({"currency":"EUR","prices":[{"from":"2026-01-01",
    "models":{"gpt-*":{"answer_per_million":1}, "gpt-big*":{"answer_per_million":2},
              "gpt-big":{"answer_per_million":4,"reasoning_per_million":3}}}]})")
                             .value();
  const store::TrafficTokens tokens{.answer_visible = 1000000, .answer_reasoning = 1000000};
  EXPECT_DOUBLE_EQ(book.of_tokens(kJanuary, "gpt-big", tokens).tokens, 4 + 3) << "exactly it";
  EXPECT_DOUBLE_EQ(book.of_tokens(kJanuary, "gpt-big-2026", tokens).tokens, 2 + 2) << "longest";
  EXPECT_DOUBLE_EQ(book.of_tokens(kJanuary, "gpt-small", tokens).tokens, 1 + 1);
  EXPECT_DOUBLE_EQ(book.of_tokens(kJanuary, "gpt-", tokens).tokens, 1 + 1);
  EXPECT_EQ(book.of_tokens(kJanuary, "gpt", tokens).currency, "");
}

TEST(PriceBook, WhatIsWrongIsNamed) {
  const auto complaint = [](const std::string& text) {
    const auto book = PriceBook::read(text);
    return book ? std::string("none") : book.error().message;
  };
  const auto one = [](const std::string& entry) {
    return R"({"currency":"EUR","prices":[)" + entry + "]}";
  };
  EXPECT_NE(complaint("[]").find("no JSON object"), std::string::npos);
  EXPECT_NE(complaint("{").find("no JSON object"), std::string::npos);
  EXPECT_NE(complaint(R"({"prices":[]})").find("'currency'"), std::string::npos);
  EXPECT_NE(complaint(R"({"currency":"EUR"})").find("'prices'"), std::string::npos);
  EXPECT_NE(complaint(one("")).find("'prices'"), std::string::npos);
  EXPECT_NE(complaint(one("{}")).find("prices[0].from"), std::string::npos);
  EXPECT_NE(complaint(one(R"({"from":"2026-02-30"})")).find("prices[0].from"), std::string::npos);
  EXPECT_NE(complaint(one(R"({"from":"2026-1-01"})")).find("prices[0].from"), std::string::npos);
  EXPECT_NE(complaint(one(R"({"from":"2026-01-01","hardware":1})")).find("prices[0].hardware"),
            std::string::npos);
  EXPECT_NE(complaint(one(R"({"from":"2026-01-01","hardware_per_hour":-1})")).find("is -1"),
            std::string::npos);
  EXPECT_NE(complaint(one(R"({"from":"2026-01-01","hardware_per_hour":1e999})")).find("price book"),
            std::string::npos);
  EXPECT_NE(complaint(one(R"({"from":"2026-01-02"},{"from":"2026-01-01"})")).find("prices[1].from"),
            std::string::npos);
  EXPECT_NE(complaint(one(R"({"from":"2026-01-01","models":{"m":{"x":1}}})"))
                .find("prices[0].models.m.x"),
            std::string::npos);
  EXPECT_NE(complaint(std::string(100'000, '[')).find("deeper"), std::string::npos);
}

TEST(PriceBook, TheExampleIsOne) {
  const auto book = PriceBook::load(std::string(PARING_SOURCE_DIR) + "/deploy/prices.json");
  ASSERT_TRUE(book) << book.error().text();
  EXPECT_EQ(book->currency(), "EUR");
  const auto missing = PriceBook::load("/nowhere/prices.json");
  ASSERT_FALSE(missing);
  EXPECT_NE(missing.error().message.find("/nowhere/prices.json"), std::string::npos);
}

}  // namespace
}  // namespace paring::monitor
