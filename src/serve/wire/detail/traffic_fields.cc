// SPDX-License-Identifier: Apache-2.0
#include "serve/wire/detail/traffic_fields.h"

#include <limits>
#include <optional>
#include <utility>

#include "serve/wire/detail/flat_fields.h"
#include "serve/wire/detail/json_text.h"

namespace paring::serve::wire {

namespace {

constexpr double kMillisecondsPerSecond = 1000;
constexpr double kAmountMax = std::numeric_limits<double>::max();

Shape amount() { return number(0, kAmountMax); }

std::vector<Field> filter_fields() {
  const Shape name = text(0, store::kTrafficTextBytesMax);
  return {
      field("from", integer(0, kTrafficSecondsMax),
            "Requests that began then or later; since 1970."),
      field("to", integer(0, kTrafficSecondsMax), "And before then."),
      field("tenant", name, "Only of this tenant; a key without the scope admin has its own only."),
      field("model", name, "Only to this model."),
      field("variant", name, "Only computed by this variant."),
      field("key_id", name, "Only by this key."),
      field("route", name, "Only of this route, such as /v1/chat/completions."),
      field("status_class", integer(0, 9), "Only with a status of so many hundreds."),
      field("cache", name_of(cache_names()), "Only answered by this cache, or none."),
      field("min_milliseconds", integer(0, kTrafficMillisecondsMax),
            "Only those that took so long."),
  };
}

}  // namespace

std::vector<std::string> cache_names() {
  std::vector<std::string> names;
#define PARING_X(name, text) names.emplace_back(text);
  PARING_TRAFFIC_CACHES(PARING_X)
#undef PARING_X
  return names;
}

Shape filtered(std::vector<Field> more) {
  std::vector<Field> fields = filter_fields();
  for (Field& one : more) fields.push_back(std::move(one));
  return object(std::move(fields));
}

store::TrafficFilter filter_of(const Json& read) {
  store::TrafficFilter filter;
  const auto given = [&](const char* name) -> std::optional<std::string> {
    if (field_of(read, name) == nullptr) return std::nullopt;
    return text_of(read, name);
  };
  filter.from_s = static_cast<double>(integer_of(read, "from").value_or(0));
  if (const auto to = integer_of(read, "to")) filter.to_s = static_cast<double>(*to);
  filter.tenant = given("tenant");
  filter.model = given("model");
  filter.variant = given("variant");
  filter.key_id = given("key_id");
  filter.route = given("route");
  if (const auto status = integer_of(read, "status_class")) {
    filter.status_class = static_cast<int>(*status);
  }
  if (const auto cache = given("cache")) filter.cache = store::traffic_cache_of(*cache);
  if (const auto least = integer_of(read, "min_milliseconds")) {
    filter.min_total_seconds = static_cast<double>(*least) / kMillisecondsPerSecond;
  }
  return filter;
}

void append_money(std::string& out, const store::TrafficMoney& money) {
  append(out, "{\"currency\":", json_string(money.currency), ",\"hardware\":", money.hardware,
         ",\"energy\":", money.energy, ",\"tokens\":", money.tokens, '}');
}

Shape money_shape() {
  return object({required("currency", text(), "As the price book has it; empty: no prices."),
                 required("hardware", amount(), "The machine's time."),
                 required("energy", amount(), "Electricity."),
                 required("tokens", amount(), "What a price list asks.")});
}

}  // namespace paring::serve::wire
