// SPDX-License-Identifier: Apache-2.0
#include "monitor/price_book.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cmath>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "base/file.h"

namespace paring::monitor {

namespace {

using Json = nlohmann::json;

constexpr double kPriceMax = 1e9;
constexpr std::size_t kCurrencyLettersMax = 16;
constexpr double kSecondsPerHour = 3600;
constexpr double kJoulesPerKwh = 3.6e6;
constexpr double kMillion = 1e6;
constexpr int kJsonDepthMax = 6;

Error wrong(const std::string& field, const std::string& why) {
  return {ErrorCode::kInvalidArgument, fmt::format("the price book's field '{}' {}", field, why),
          "see the example in deploy/prices.json"};
}

Result<void> only(const Json& object, const std::string& where,
                  std::initializer_list<std::string_view> names) {
  if (!object.is_object()) return wrong(where, "is no object");
  for (const auto& [name, value] : object.items()) {
    if (std::find(names.begin(), names.end(), name) == names.end()) {
      return wrong(where.empty() ? name : where + "." + name, "is not known");
    }
  }
  return {};
}

Result<double> price_of(const Json& object, const std::string& where, const char* name) {
  const auto found = object.find(name);
  if (found == object.end()) return 0.0;
  if (!found->is_number()) return wrong(where + "." + name, "is no number");
  const double value = found->get<double>();
  if (!(value >= 0 && value <= kPriceMax)) {
    return wrong(where + "." + name, fmt::format("is {}, it takes 0 to {:g}", value, kPriceMax));
  }
  return value;
}

// Seconds since 1970 of a day's begin in UTC; nothing where the text is no day.
std::optional<double> day_of(const std::string& text) {
  constexpr std::size_t kLetters = 10;  // 2026-01-31
  if (text.size() != kLetters || text[4] != '-' || text[7] != '-') return std::nullopt;
  int year = 0;
  unsigned month = 0;
  unsigned day = 0;
  const auto read = [&](std::size_t begin, std::size_t length, auto& value) {
    const char* const end = text.data() + begin + length;
    const auto [stop, error] = std::from_chars(text.data() + begin, end, value);
    return error == std::errc() && stop == end;
  };
  if (!read(0, 4, year) || !read(5, 2, month) || !read(8, 2, day)) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(month),
                                         std::chrono::day(day)};
  if (!date.ok()) return std::nullopt;
  const auto since = std::chrono::sys_days(date).time_since_epoch();
  return static_cast<double>(std::chrono::duration_cast<std::chrono::seconds>(since).count());
}

Result<TokenPrices> read_model(const Json& object, const std::string& where) {
  PARING_TRY_VOID(only(object, where,
                       {"prompt_per_million", "cached_prompt_per_million", "answer_per_million",
                        "reasoning_per_million"}));
  TokenPrices prices;
  PARING_TRY(prices.prompt, price_of(object, where, "prompt_per_million"));
  PARING_TRY(prices.answer, price_of(object, where, "answer_per_million"));
  prices.cached_prompt = prices.prompt;
  if (object.contains("cached_prompt_per_million")) {
    PARING_TRY(prices.cached_prompt, price_of(object, where, "cached_prompt_per_million"));
  }
  prices.reasoning = prices.answer;
  if (object.contains("reasoning_per_million")) {
    PARING_TRY(prices.reasoning, price_of(object, where, "reasoning_per_million"));
  }
  return prices;
}

Result<Prices> read_prices(const Json& object, const std::string& where) {
  PARING_TRY_VOID(
      only(object, where, {"from", "hardware_per_hour", "electricity_per_kwh", "models"}));
  Prices prices;
  const auto from = object.find("from");
  const std::optional<double> day =
      from != object.end() && from->is_string() ? day_of(from->get<std::string>()) : std::nullopt;
  if (!day) return wrong(where + ".from", "takes a day such as \"2026-01-31\"");
  prices.from_s = *day;
  PARING_TRY(prices.hardware_per_hour, price_of(object, where, "hardware_per_hour"));
  PARING_TRY(prices.electricity_per_kwh, price_of(object, where, "electricity_per_kwh"));
  const auto models = object.find("models");
  if (models == object.end()) return prices;
  if (!models->is_object()) return wrong(where + ".models", "is no object");
  for (const auto& [name, value] : models->items()) {
    PARING_TRY(prices.models[name], read_model(value, where + ".models." + name));
  }
  return prices;
}

// Objects and lists within each other, before the text is read as a tree.
bool is_too_deep(std::string_view json) {
  int depth = 0;
  bool is_text = false;
  for (std::size_t i = 0; i < json.size(); ++i) {
    if (is_text) {
      if (json[i] == '\\')
        ++i;
      else if (json[i] == '"')
        is_text = false;
    } else if (json[i] == '"') {
      is_text = true;
    } else if (json[i] == '{' || json[i] == '[') {
      if (++depth > kJsonDepthMax) return true;
    } else if (json[i] == '}' || json[i] == ']') {
      --depth;
    }
  }
  return false;
}

}  // namespace

const TokenPrices* Prices::of_model(std::string_view model) const noexcept {
  const auto found = models.find(model);
  if (found != models.end()) return &found->second;
  const TokenPrices* best = nullptr;
  std::size_t longest = 0;
  for (const auto& [name, price] : models) {
    if (!name.ends_with('*') || name.size() < longest) continue;
    if (!model.starts_with(std::string_view(name).substr(0, name.size() - 1))) continue;
    best = &price;
    longest = name.size();
  }
  return best;
}

Result<PriceBook> PriceBook::read(std::string_view json) {
  if (json.size() > kBytesMax || is_too_deep(json)) {
    return invalid_argument("the price book is larger or deeper than any that can be meant",
                            "see the example in deploy/prices.json");
  }
  const Json book = Json::parse(json, nullptr, /*allow_exceptions=*/false);
  if (book.is_discarded() || !book.is_object()) {
    return invalid_argument("the price book is no JSON object",
                            "see the example in deploy/prices.json");
  }
  PARING_TRY_VOID(only(book, "", {"currency", "prices", "note"}));
  PriceBook result;
  const auto currency = book.find("currency");
  if (currency == book.end() || !currency->is_string() || currency->get<std::string>().empty() ||
      currency->get<std::string>().size() > kCurrencyLettersMax) {
    return wrong("currency", "takes a name such as \"EUR\"");
  }
  result.currency_ = currency->get<std::string>();
  const auto prices = book.find("prices");
  if (prices == book.end() || !prices->is_array() || prices->empty() ||
      prices->size() > kPricesMax) {
    return wrong("prices", fmt::format("takes a list of 1 to {} entries", kPricesMax));
  }
  for (std::size_t i = 0; i < prices->size(); ++i) {
    const std::string where = fmt::format("prices[{}]", i);
    PARING_TRY(Prices read, read_prices((*prices)[i], where));
    if (i > 0 && read.from_s <= result.prices_.back().from_s) {
      return wrong(where + ".from", "is not later than the entry before");
    }
    result.prices_.push_back(std::move(read));
  }
  return result;
}

Result<PriceBook> PriceBook::load(const std::string& path) {
  PARING_TRY(const std::string text, read_small_file(path));
  auto book = read(text);
  if (!book) return Error{book.error().code, path + ": " + book.error().message, book.error().hint};
  return book;
}

const Prices* PriceBook::at(double when_s) const noexcept {
  const auto after =
      std::upper_bound(prices_.begin(), prices_.end(), when_s,
                       [](double when, const Prices& prices) { return when < prices.from_s; });
  return after == prices_.begin() ? nullptr : &*std::prev(after);
}

store::TrafficMoney PriceBook::of_work(double when_s, double work_seconds, double joules) const {
  const Prices* const prices = at(when_s);
  if (prices == nullptr) return {};
  return {.hardware = work_seconds / kSecondsPerHour * prices->hardware_per_hour,
          .energy = joules / kJoulesPerKwh * prices->electricity_per_kwh,
          .currency = currency_};
}

store::TrafficMoney PriceBook::of_tokens(double when_s, std::string_view model,
                                         const store::TrafficTokens& tokens) const {
  const Prices* const prices = at(when_s);
  if (prices == nullptr) return {};
  const TokenPrices* const price = prices->of_model(model);
  if (price == nullptr) return {};
  const double sum = static_cast<double>(tokens.prompt_fresh) * price->prompt +
                     static_cast<double>(tokens.prompt_cached) * price->cached_prompt +
                     static_cast<double>(tokens.answer_visible) * price->answer +
                     static_cast<double>(tokens.answer_reasoning) * price->reasoning;
  return {.tokens = sum / kMillion, .currency = currency_};
}

}  // namespace paring::monitor
