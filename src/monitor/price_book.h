// SPDX-License-Identifier: Apache-2.0
// PriceBook: what computing costs, and since when: the machine's hour, electricity, tokens of
// models that others serve. A JSON file that the operator keeps (deploy/prices.json is one to start
// from):
//
//   {"currency": "EUR",
//    "prices": [{"from": "2026-01-01", "hardware_per_hour": 0.09, "electricity_per_kwh": 0.30,
//                "models": {"some-model": {"prompt_per_million": 0.15,
//                                          "cached_prompt_per_million": 0.075,
//                                          "answer_per_million": 0.60,
//                                          "reasoning_per_million": 0.60}}}]}
//
// A cached token costs what one of the prompt does, and one of reasoning what one of the answer
// does, where no price of theirs is told. The name of a model may end with '*', for all that begin
// so; the longest that fits holds. A price holds from its day (UTC) until the next one's.
// Immutable.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "store/traffic_rows.h"

namespace paring::monitor {

struct TokenPrices {  // of a million
  double prompt = 0;
  double cached_prompt = 0;
  double answer = 0;
  double reasoning = 0;
};

struct Prices {
  double from_s = 0;  // since 1970
  double hardware_per_hour = 0;
  double electricity_per_kwh = 0;
  std::map<std::string, TokenPrices, std::less<>> models;
  // Null: it has no price.
  const TokenPrices* of_model(std::string_view model) const noexcept;
};

class PriceBook {
 public:
  static constexpr std::size_t kBytesMax = 1 << 20;
  static constexpr std::size_t kPricesMax = 1000;

  // Costs nothing, in no currency.
  PriceBook() = default;
  // InvalidArgument, with the field, for what is no such book: unknown fields, prices below 0, days
  // that do not ascend.
  static Result<PriceBook> read(std::string_view json);
  static Result<PriceBook> load(const std::string& path);

  // What served here: the machine's time that the request took, and its energy.
  store::TrafficMoney of_work(double when_s, double work_seconds, double joules) const;
  // What another's model asks; in no currency for one that has no price.
  store::TrafficMoney of_tokens(double when_s, std::string_view model,
                                const store::TrafficTokens& tokens) const;
  const std::string& currency() const noexcept { return currency_; }
  // Null: none holds yet.
  const Prices* at(double when_s) const noexcept;

 private:
  std::string currency_;
  std::vector<Prices> prices_;  // by from_s, ascending
};

}  // namespace paring::monitor
