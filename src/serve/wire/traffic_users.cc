// SPDX-License-Identifier: Apache-2.0
#include "serve/wire/traffic_users.h"

#include <limits>

#include "serve/wire/detail/json_text.h"
#include "serve/wire/detail/traffic_fields.h"

namespace paring::serve::wire {

namespace {

constexpr std::int64_t kListedMax = 1000;
constexpr std::int64_t kListed = 100;
constexpr std::size_t kCurrenciesMax = 1000;

Shape count() { return integer(0, std::numeric_limits<std::int64_t>::max()); }
Shape amount() { return number(0, std::numeric_limits<double>::max()); }

}  // namespace

ApiResult<TrafficUsersCall> read_traffic_users(const FlatFields& query, const WireRules& rules) {
  const ApiResult<Json> read = read_flat(query, traffic_users_query(), rules);
  if (!read) return read.error();
  return TrafficUsersCall{.filter = filter_of(*read),
                          .limit = integer_of(*read, "limit").value_or(kListed)};
}

std::string traffic_users_answer(const store::TrafficUsers& users) {
  std::string out;
  append(out, "{\"object\":\"list\",\"from\":", users.from_s, ",\"to\":", users.to_s,
         ",\"left_out\":", users.left_out, ",\"data\":[");
  const char* separator = "";
  for (const store::TrafficUser& user : users.users) {
    append(out, separator, "{\"user\":", json_string(user.user),
           ",\"tenant\":", json_string(user.tenant), ",\"requests\":", user.requests,
           ",\"errors\":", user.errors, ",\"prompt_fresh\":", user.prompt_fresh,
           ",\"prompt_cached\":", user.prompt_cached, ",\"answer\":", user.answer,
           ",\"joules_measured\":", user.joules_measured,
           ",\"joules_estimated\":", user.joules_estimated, ",\"money\":[");
    for (std::size_t i = 0; i < user.money.size(); ++i) {
      if (i > 0) out += ',';
      append_money(out, user.money[i]);
    }
    out += "]}";
    separator = ",";
  }
  return out + "]}";
}

const Shape& traffic_users_query() {
  static const Shape shape =
      filtered({field("limit", integer(1, kListedMax), "At most so many; absent: 100.")});
  return shape;
}

const Shape& traffic_users_answer_shape() {
  static const Shape shape = object(
      {required("object", name_of({"list"}), "The kind of object."),
       required("from", amount(), "The asked time in whole hours; since 1970."),
       required("to", amount(), "Its end, likewise."),
       required("left_out", count(), "Users beyond the limit."),
       required(
           "data",
           list(object(
                    {required("user", text(),
                              "As the field \"user\" of requests has it; \"(other)\": of days "
                              "with more users than are told apart."),
                     required("tenant", text(), "Whose user."),
                     required("requests", count(), "How many."),
                     required("errors", count(), "Of those, that failed."),
                     required("prompt_fresh", count(), "Prompt tokens that were computed."),
                     required("prompt_cached", count(), "Prompt tokens from a cache."),
                     required("answer", count(), "Tokens of answers and reasoning."),
                     required("joules_measured", amount(), "Energy, measured."),
                     required("joules_estimated", amount(), "Energy, estimated."),
                     required("money", list(money_shape(), 0, kCurrenciesMax), "One a currency.")}),
                0, kListedMax),
           "Those with most tokens first.")});
  return shape;
}

}  // namespace paring::serve::wire
