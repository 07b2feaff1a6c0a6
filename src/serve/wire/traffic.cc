// SPDX-License-Identifier: Apache-2.0
#include "serve/wire/traffic.h"

#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "serve/wire/detail/flat_fields.h"
#include "serve/wire/detail/json_text.h"
#include "serve/wire/detail/openai_common.h"
#include "serve/wire/detail/traffic_fields.h"
#include "store/token_gaps.h"

namespace paring::serve::wire {
namespace {

constexpr std::int64_t kListedMax = 1000;
constexpr std::int64_t kListed = 100;
constexpr std::int64_t kBucketSeconds = 60;
constexpr std::int64_t kBucketSecondsMax = 86400;
constexpr std::int64_t kBucketsMax = 10'000;
constexpr std::size_t kCursorCharactersMax = 256;
constexpr std::size_t kRowsOfId = 100;
constexpr std::size_t kGroupsMax = std::size_t{1} << 20;
constexpr std::size_t kGapsMax = std::size_t{1} << 20;
constexpr std::int64_t kCountMax = std::numeric_limits<std::int64_t>::max();
constexpr double kAmountMax = std::numeric_limits<double>::max();
constexpr double kMillisecondsPerSecond = 1000;
constexpr double kMicrosecondsPerSecond = 1e6;
constexpr std::int64_t kMicrosecondsMax = kTrafficMillisecondsMax * 1000;

// Upper bounds of the classes of histograms: from a millisecond on, each twice the one before.
constexpr int kHistogramBounds = 18;
double histogram_bound(int index) { return std::ldexp(0.001, index); }

// Bounds that questions may name, and the field of TrafficBounds.
#define PARING_TRAFFIC_BOUNDS(X)                                                    \
  X(first_token, "first_token_within", "Counts requests whose first token came in") \
  X(total, "total_within", "Counts requests that took")                             \
  X(gap, "gap_within", "Counts tokens that followed the one before in")

std::vector<std::string> joules_names() {
  std::vector<std::string> names;
#define PARING_X(name, text) names.emplace_back(text);
  PARING_JOULES_KINDS(PARING_X)
#undef PARING_X
  return names;
}

// Of sums.
std::vector<Field> bound_fields() {
  std::vector<Field> fields;
#define PARING_X(member, name, help)                                         \
  fields.push_back(field(name "_microseconds", integer(0, kMicrosecondsMax), \
                         help " so many microseconds or less, in `within`."));
  PARING_TRAFFIC_BOUNDS(PARING_X)
#undef PARING_X
  return fields;
}

TrafficBounds bounds_of(const Json& read) {
  TrafficBounds bounds;
#define PARING_X(member, name, help)                                      \
  if (const auto value = integer_of(read, name "_microseconds")) {        \
    bounds.member = static_cast<double>(*value) / kMicrosecondsPerSecond; \
  }
  PARING_TRAFFIC_BOUNDS(PARING_X)
#undef PARING_X
  return bounds;
}

std::vector<std::string> key_names() {
  std::vector<std::string> names;
#define PARING_X(name, text, field) names.emplace_back(text);
  PARING_TRAFFIC_KEYS(PARING_X)
#undef PARING_X
  return names;
}

void append_seconds(std::string& out, const char* name, const std::optional<double>& seconds) {
  append(out, ",\"", name, "\":");
  seconds ? append(out, *seconds) : append(out, "null");
}

// Everything but the end of the object.
void begin_row(std::string& out, const store::TrafficRequest& row) {
  append(out, "{\"id\":", json_string(row.id),
         ",\"object\":\"traffic.request\",\"started_at\":", row.started_s,
         ",\"trace_id\":", json_string(row.trace_id), ",\"span_id\":", json_string(row.span_id),
         ",\"parent_id\":", json_string(row.parent_id), ",\"route\":", json_string(row.route),
         ",\"status\":", row.status, ",\"is_complete\":", row.is_complete,
         ",\"end\":", json_string(row.end), ",\"error_code\":", json_string(row.error_code),
         ",\"key_id\":", json_string(row.key_id), ",\"tenant\":", json_string(row.tenant),
         ",\"user\":", json_string(row.user), ",\"session\":", json_string(row.session),
         ",\"prompt_version\":", json_string(row.prompt_version),
         ",\"model\":", json_string(row.model), ",\"variant\":", json_string(row.variant),
         ",\"cache\":\"", store::traffic_cache_name(row.cache), "\"");
  append(out, ",\"tokens\":{\"prompt_fresh\":", row.tokens.prompt_fresh,
         ",\"prompt_cached\":", row.tokens.prompt_cached,
         ",\"answer_visible\":", row.tokens.answer_visible,
         ",\"answer_reasoning\":", row.tokens.answer_reasoning, ",\"drafted\":", row.tokens.drafted,
         ",\"accepted\":", row.tokens.accepted, '}');
  append(out, ",\"preemptions\":", row.preemptions, ",\"peak_pages\":", row.peak_pages);
  append_seconds(out, "queue_seconds", row.seconds.queue);
  append_seconds(out, "prefill_seconds", row.seconds.prefill);
  append_seconds(out, "decode_seconds", row.seconds.decode);
  append_seconds(out, "first_token_seconds", row.seconds.first_token);
  append_seconds(out, "total_seconds", row.seconds.total);
  append(out, ",\"operations\":", row.operations, ",\"bytes_read\":", row.bytes_read,
         ",\"joules\":", row.joules, ",\"joules_kind\":\"",
         store::joules_kind_name(row.joules_kind), "\",\"money\":");
  append_money(out, row.money);
}

// Fields of an object that has begun.
void append_histogram_bounds(std::string& out) {
  append(out, ",\"histogram_seconds\":[");
  for (int i = 0; i < kHistogramBounds; ++i) append(out, i > 0 ? "," : "", histogram_bound(i));
  out += ']';
}

void append_quantiles(std::string& out, const char* name, const QuantileSketch& sketch,
                      const std::optional<double>& bound) {
  struct Quantile {
    const char* name;
    double q;
  };
  constexpr Quantile kQuantiles[] = {{"p50", 0.5}, {"p90", 0.9}, {"p95", 0.95}, {"p99", 0.99}};
  append(out, ",\"", name, "\":{\"count\":", sketch.count());
  for (const Quantile& one : kQuantiles) {
    const std::optional<double> value = sketch.quantile(one.q);
    append(out, ",\"", one.name, "\":");
    value ? append(out, *value) : append(out, "null");
  }
  if (bound) append(out, ",\"within\":", sketch.count_to(*bound));
  append(out, ",\"histogram\":[");
  std::uint64_t before = 0;
  for (int i = 0; i <= kHistogramBounds; ++i) {
    const bool is_last = i == kHistogramBounds;
    const std::uint64_t up_to = is_last ? sketch.count() : sketch.count_to(histogram_bound(i));
    append(out, i > 0 ? "," : "", up_to - before);
    before = up_to;
  }
  out += "]}";
}

// Fields of an object that has begun.
void append_sums(std::string& out, const store::TrafficSums& sums, const TrafficBounds& bounds) {
#define PARING_X(name) append(out, ",\"" #name "\":", sums.name);
  PARING_TRAFFIC_COUNTS(PARING_X)
  PARING_TRAFFIC_AMOUNTS(PARING_X)
#undef PARING_X
  out += ",\"money\":[";
  for (std::size_t i = 0; i < sums.money.size(); ++i) {
    if (i > 0) out += ',';
    append_money(out, sums.money[i]);
  }
  out += ']';
  append_quantiles(out, "first_token", sums.first_token, bounds.first_token);
  append_quantiles(out, "total", sums.total, bounds.total);
  append_quantiles(out, "gap", sums.gap, bounds.gap);
}

Shape count() { return integer(0, kCountMax); }
Shape amount() { return number(0, kAmountMax); }

std::vector<Field> row_fields() {
  const Shape seconds = number(0, kAmountMax);
  return {
      required("id", text(), "The request's id, of x-request-id."),
      required("object", name_of({"traffic.request"}), "The kind of object."),
      required("started_at", amount(), "Seconds since 1970."),
      required("trace_id", text(), "Of traceparent."),
      required("span_id", text(), "Of this request."),
      required("parent_id", text(), "Of the caller's span; empty: none."),
      required("route", text(), "The path of the route."),
      required("status", integer(0, 999), "Of HTTP; 0: no answer was begun."),
      required("is_complete", boolean(), "Whether the client got all of it."),
      required("end", text(), "stop, length, tool_calls, cancelled or error."),
      required("error_code", text(), "Of the answer; empty: none."),
      required("key_id", text(), "Whose key."),
      required("tenant", text(), "Whose request."),
      required("user", text(), "As the client named them."),
      required("session", text(), "Likewise."),
      required("prompt_version", text(), "Of the prompt, as the client names it; may be empty."),
      required("model", text(), "The server's name of it."),
      required("variant", text(), "What computed it."),
      required("cache", name_of(cache_names()), "Which cache answered."),
      required("tokens",
               object({required("prompt_fresh", count(), "Computed."),
                       required("prompt_cached", count(), "Not computed again."),
                       required("answer_visible", count(), "Of the answer."),
                       required("answer_reasoning", count(), "Of its reasoning."),
                       required("drafted", count(), "Guesses of speculation."),
                       required("accepted", count(), "Right ones.")}),
               "Each token is in one class."),
      required("preemptions", count(), "How often it was set back."),
      required("peak_pages", count(), "Of the cache of keys and values."),
      field("queue_seconds", seconds, "Until it was let in; null: never."),
      field("prefill_seconds", seconds, "Reading the prompt."),
      field("decode_seconds", seconds, "From the first token on."),
      field("first_token_seconds", seconds, "Since the request came."),
      field("total_seconds", seconds, "To its end."),
      required("operations", amount(), "Arithmetic, 2 a multiply-add."),
      required("bytes_read", amount(), "Weights, keys and values, its share."),
      required("joules", amount(), "Energy."),
      required("joules_kind", name_of(joules_names()), "Whether it was measured."),
      required("money", money_shape(), "What it cost."),
  };
}

Shape quantiles_shape() {
  const Shape seconds = number(0, kAmountMax);
  return object({required("count", count(), "How many values."),
                 field("p50", seconds, "Seconds; null without values."),
                 field("p90", seconds, "Likewise."), field("p95", seconds, "Likewise."),
                 field("p99", seconds, "Likewise."),
                 field("within", count(), "At most as long as the bound that was asked for."),
                 required("histogram", list(count(), 0, kHistogramBounds + 1),
                          "Values up to each of histogram_seconds, and above the last.")});
}

std::vector<Field> sums_fields() {
  std::vector<Field> fields;
#define PARING_X(name) fields.push_back(required(#name, count(), "Of all requests."));
  PARING_TRAFFIC_COUNTS(PARING_X)
#undef PARING_X
#define PARING_X(name) fields.push_back(required(#name, amount(), "Of all requests."));
  PARING_TRAFFIC_AMOUNTS(PARING_X)
#undef PARING_X
  fields.push_back(required("money", list(money_shape(), 0, kRowsOfId), "One a currency."));
  fields.push_back(required("first_token", quantiles_shape(), "Of requests, within 1 %."));
  fields.push_back(required("total", quantiles_shape(), "Of requests."));
  fields.push_back(required("gap", quantiles_shape(), "Between tokens."));
  return fields;
}

Field histogram_bounds_field() {
  return required("histogram_seconds", list(number(0, kAmountMax), 0, kHistogramBounds),
                  "Upper bounds of the classes of histograms.");
}

Shape with(std::vector<Field> first, std::vector<Field> rest) {
  for (Field& one : rest) first.push_back(std::move(one));
  return object(std::move(first));
}

}  // namespace

const Shape& traffic_list_query() {
  static const Shape shape = filtered({
      field("limit", integer(1, kListedMax), "At most so many; absent: 100."),
      field("after", text(1, kCursorCharactersMax), "The `next` of the page before."),
  });
  return shape;
}

const Shape& traffic_summary_query() {
  static const Shape shape = filtered(
      joined(bound_fields(), {field("by", name_of(key_names()), "Tells `groups` apart by this.")}));
  return shape;
}

const Shape& traffic_series_query() {
  static const Shape shape = filtered(
      joined(bound_fields(),
             {field("bucket_seconds", integer(1, kBucketSecondsMax),
                    "Length of a bucket; fast where it is a multiple of 60; absent: 60.")}));
  return shape;
}

ApiResult<TrafficListCall> read_traffic_list(const NamedTexts& query, const WireRules& rules) {
  const ApiResult<Json> read = read_flat(query, traffic_list_query(), rules);
  if (!read) return read.error();
  return TrafficListCall{.filter = filter_of(*read),
                         .after = text_of(*read, "after"),
                         .limit = integer_of(*read, "limit").value_or(kListed)};
}

ApiResult<TrafficSummaryCall> read_traffic_summary(const NamedTexts& query,
                                                   const WireRules& rules) {
  const ApiResult<Json> read = read_flat(query, traffic_summary_query(), rules);
  if (!read) return read.error();
  return TrafficSummaryCall{.filter = filter_of(*read),
                            .bounds = bounds_of(*read),
                            .by = store::traffic_key_of(text_of(*read, "by"))};
}

ApiResult<TrafficSeriesCall> read_traffic_series(const NamedTexts& query, const WireRules& rules) {
  const ApiResult<Json> read = read_flat(query, traffic_series_query(), rules);
  if (!read) return read.error();
  return TrafficSeriesCall{
      .filter = filter_of(*read),
      .bounds = bounds_of(*read),
      .bucket_seconds = integer_of(*read, "bucket_seconds").value_or(kBucketSeconds)};
}

std::string traffic_list_answer(const store::TrafficPage& page) {
  std::string out = "{\"object\":\"list\",\"data\":[";
  for (std::size_t i = 0; i < page.rows.size(); ++i) {
    if (i > 0) out += ',';
    begin_row(out, page.rows[i]);
    out += '}';
  }
  append(out, "],\"has_more\":", !page.next.empty(), ",\"next\":", json_string(page.next), '}');
  return out;
}

std::string traffic_requests_answer(std::span<const store::TrafficRequest> rows) {
  std::string out = "{\"object\":\"list\",\"data\":[";
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (i > 0) out += ',';
    begin_row(out, rows[i]);
    out += ",\"gap_microseconds\":[";
    const auto gaps = store::decode_gaps(rows[i].gaps);
    for (std::size_t g = 0; gaps && g < gaps->size(); ++g) {
      if (g > 0) out += ',';
      append(out, (*gaps)[g]);
    }
    out += ']';
    if (rows[i].content) {
      append(out, ",\"prompt\":", json_string(rows[i].content->prompt),
             ",\"answer\":", json_string(rows[i].content->answer));
    }
    out += '}';
  }
  return out + "]}";
}

std::string traffic_summary_answer(const store::TrafficSums& sums, const TrafficBounds& bounds) {
  std::string out = "{\"object\":\"traffic.summary\"";
  append_histogram_bounds(out);
  append_sums(out, sums, bounds);
  return out + '}';
}

std::string traffic_groups_answer(const std::map<std::string, store::TrafficSums>& groups,
                                  store::TrafficKey by, const TrafficBounds& bounds) {
  store::TrafficSums all;
  for (const auto& [name, sums] : groups) all.merge(sums);
  std::string out = traffic_summary_answer(all, bounds);
  out.pop_back();
  append(out, ",\"by\":\"", store::traffic_key_name(by), "\",\"groups\":[");
  const char* separator = "";
  for (const auto& [name, sums] : groups) {
    append(out, separator, "{\"name\":", json_string(name));
    append_sums(out, sums, bounds);
    out += '}';
    separator = ",";
  }
  return out + "]}";
}

std::string traffic_series_answer(std::span<const store::TrafficBucket> buckets,
                                  const TrafficSeriesCall& call) {
  std::string out;
  append(out, "{\"object\":\"list\",\"bucket_seconds\":", call.bucket_seconds);
  append_histogram_bounds(out);
  out += ",\"data\":[";
  for (std::size_t i = 0; i < buckets.size(); ++i) {
    if (i > 0) out += ',';
    append(out, "{\"start\":", buckets[i].start_s);
    append_sums(out, buckets[i].sums, call.bounds);
    out += '}';
  }
  return out + "]}";
}

const Shape& traffic_list_answer_shape() {
  static const Shape shape =
      object({required("object", name_of({"list"}), "The kind of object."),
              required("data", list(object(row_fields()), 0, kListedMax), "Newest first."),
              required("has_more", boolean(), "Whether there is a next page."),
              required("next", text(), "What `after` takes for it; empty: there is none.")});
  return shape;
}

const Shape& traffic_requests_answer_shape() {
  static const Shape shape = object(
      {required("object", name_of({"list"}), "The kind of object."),
       required("data",
                list(with(row_fields(), {required("gap_microseconds", list(count(), 0, kGapsMax),
                                                  "Between the tokens of the answer."),
                                         field("prompt", text(), "Where it is kept."),
                                         field("answer", text(), "Where it is kept.")}),
                     0, kRowsOfId),
                "In the order of their start.")});
  return shape;
}

const Shape& traffic_summary_answer_shape() {
  static const Shape shape = with(
      joined({required("object", name_of({"traffic.summary"}), "The kind of object."),
              histogram_bounds_field()},
             sums_fields()),
      {field("by", name_of(key_names()), "What groups are told apart by."),
       field("groups",
             list(with({required("name", text(), "The value.")}, sums_fields()), 0, kGroupsMax),
             "Sums of each value that occurs.")});
  return shape;
}

const Shape& traffic_series_answer_shape() {
  static const Shape shape = object(
      {required("object", name_of({"list"}), "The kind of object."),
       required("bucket_seconds", integer(1, kBucketSecondsMax), "Length of a bucket."),
       histogram_bounds_field(),
       required(
           "data",
           list(with({required("start", integer(0, kTrafficSecondsMax), "Seconds since 1970.")},
                     sums_fields()),
                0, kBucketsMax),
           "Buckets that hold a request, oldest first.")});
  return shape;
}

}  // namespace paring::serve::wire
