// SPDX-License-Identifier: Apache-2.0
#include "serve/wire/advice.h"

#include <limits>

#include "advise/advisor.h"
#include "serve/wire/detail/flat_fields.h"
#include "serve/wire/detail/openai_common.h"

namespace paring::serve::wire {

namespace {

constexpr std::int64_t kHoursMax = 24 * 366;
constexpr std::int64_t kClientsMax = 4096;
constexpr std::size_t kAdviceMax = 64;
constexpr std::size_t kWordsMax = 8;
constexpr double kAmountMax = std::numeric_limits<double>::max();

Shape amount() { return number(-kAmountMax, kAmountMax); }
Shape count() { return integer(0, std::numeric_limits<std::int64_t>::max()); }

std::vector<std::string> metric_names() {
  std::vector<std::string> names;
#define PARING_X(name, text, unit, less) names.emplace_back(text);
  PARING_ADVICE_METRICS(PARING_X)
#undef PARING_X
  return names;
}

std::vector<std::string> action_names() {
  std::vector<std::string> names;
#define PARING_X(name, text, error) names.emplace_back(text);
  PARING_ADVICE_ACTIONS(PARING_X)
#undef PARING_X
  return names;
}

std::vector<Field> interval() {
  return {required("metric", name_of(metric_names()), "What of."),
          required("expected", amount(), "As it will be."),
          required("low", amount(), "Lower end of its interval (90 %)."),
          required("high", amount(), "Upper end.")};
}

Shape advice_shape() {
  std::vector<Field> metric = interval();
  metric.push_back(required("unit", text(), "Of the values."));
  metric.push_back(required("now", amount(), "As it is."));
  return object(
      {required("number", count(), "Its place, from 1; what --apply takes."),
       required("action", name_of(action_names()), "The kind of change."),
       required("title", text(), "What to do."),
       required("evidence", text(), "What of the traffic says so."),
       required("commands", list(text(), 0, kWordsMax), "How."),
       required("metrics", list(object(std::move(metric)), 0, kWordsMax), "What would change."),
       required("loss", text(), "Of quality."),
       required("gain", object(interval()), "In the metric that matters most for it, relative."),
       required("is_recommended", boolean(), "Whether the lower end of the gain is above 3 %."),
       field("change", open_object(), "What POST /v1/canaries takes to try it."),
       field("caution", text(), "Why not, or what to look at first.")});
}

}  // namespace

ApiResult<AdviceCall> read_advice(const NamedTexts& query, const WireRules& rules) {
  const ApiResult<Json> read = read_flat(query, advice_query(), rules);
  if (!read) return read.error();
  AdviceCall call{.model = text_of(*read, "model")};
  call.hours = integer_of(*read, "hours").value_or(call.hours);
  call.clients = static_cast<std::size_t>(integer_of(*read, "clients").value_or(0));
  return call;
}

const Shape& advice_query() {
  static const Shape shape = object(
      {field("model", text(1, kNameCharactersMax), "Absent: that of the last steps."),
       field("hours", integer(1, kHoursMax), "How far back requests are read; absent: 24."),
       field("clients", integer(0, kClientsMax),
             "Of the full load for which is predicted; absent or 0: as many sequences as ran "
             "together on average.")});
  return shape;
}

const Shape& advice_answer_shape() {
  static const Shape shape = object(
      {required("model", text(), "Of this server."),
       required("variant", text(), "What computes it."), required("path", text(), "Its file."),
       required("from_s", amount(), "First request that was looked at; since 1970."),
       required("to_s", amount(), "The last."),
       required("requests", count(), "That were looked at."),
       required("failed", count(), "That were left out."),
       required("repeated", count(), "That equal an earlier one."),
       required("clients", count(), "Of the full load."),
       required("correction", amount(), "Measured work over that of a replay."),
       required("steps", open_object(), "Of which times are known."),
       required("measured", open_object(), "Of the requests."),
       required("present", open_object(), "The replay at full load."),
       required("present_paced", open_object(), "The replay at the requests' own times."),
       required("advice", list(advice_shape(), 0, kAdviceMax), "Recommended first.")});
  return shape;
}

}  // namespace paring::serve::wire
