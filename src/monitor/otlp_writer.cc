// SPDX-License-Identifier: Apache-2.0
#include "monitor/otlp_writer.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <optional>
#include <utility>

#include "base/sha256.h"
#include "monitor/detail/protobuf_writer.h"
#include "monitor/genai_names.h"

namespace paring::monitor {

namespace {

using detail::ProtobufWriter;
using store::TrafficRequest;

constexpr std::string_view kScope = "paring";
constexpr std::string_view kVersion = "service.version";
constexpr std::size_t kTraceDigits = 32;
constexpr std::size_t kSpanDigits = 16;
enum SpanKind : std::uint8_t { kInternal = 1, kServer = 2 };
constexpr std::uint64_t kStatusError = 2;
constexpr std::uint64_t kCumulative = 2;

std::uint64_t nanoseconds_of(double seconds) {
  constexpr double kLast = 9e9;  // of the year 2255, beyond which 64 bits end
  if (!(seconds > 0)) return 0;
  // Apart, since a double has no nanoseconds left beside seconds since 1970.
  const double whole = std::floor(std::min(seconds, kLast));
  const double rest = std::min(seconds, kLast) - whole;
  return static_cast<std::uint64_t>(whole) * 1'000'000'000 +
         static_cast<std::uint64_t>(std::llround(rest * 1e6)) * 1000;
}

// Of field `field`: a KeyValue of AnyValue `value`.
void put_any(ProtobufWriter& out, std::uint32_t field, std::string_view name,
             const ProtobufWriter& value) {
  ProtobufWriter pair;
  pair.put_bytes(1, name);
  pair.put_message(2, value);
  out.put_message(field, pair);
}
void put_text(ProtobufWriter& out, std::uint32_t field, std::string_view name,
              std::string_view text) {
  ProtobufWriter value;
  value.put_bytes(1, text);
  put_any(out, field, name, value);
}
void put_bool(ProtobufWriter& out, std::uint32_t field, std::string_view name, bool is_so) {
  ProtobufWriter value;
  value.put_varint(2, is_so ? 1 : 0);
  put_any(out, field, name, value);
}
void put_count(ProtobufWriter& out, std::uint32_t field, std::string_view name,
               std::int64_t count) {
  ProtobufWriter value;
  value.put_varint(3, static_cast<std::uint64_t>(count));
  put_any(out, field, name, value);
}
void put_amount(ProtobufWriter& out, std::uint32_t field, std::string_view name, double amount) {
  ProtobufWriter value;
  value.put_double(4, amount);
  put_any(out, field, name, value);
}
void put_list(ProtobufWriter& out, std::uint32_t field, std::string_view name,
              std::string_view only) {
  ProtobufWriter text;
  text.put_bytes(1, only);
  ProtobufWriter list;
  list.put_message(1, text);
  ProtobufWriter value;
  value.put_message(5, list);
  put_any(out, field, name, value);
}

std::optional<unsigned> digit_of(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return std::nullopt;
}

// The bytes of an id; empty for what is none.
std::string bytes_of_id(std::string_view hex, std::size_t digits) {
  if (hex.size() != digits) return {};
  std::string bytes;
  for (std::size_t i = 0; i < digits; i += 2) {
    const auto high = digit_of(hex[i]);
    const auto low = digit_of(hex[i + 1]);
    if (!high || !low) return {};
    bytes += static_cast<char>(*high << 4 | *low);
  }
  if (std::ranges::all_of(bytes, [](char c) { return c == 0; })) return {};
  return bytes;
}

std::string derived_id(const TrafficRequest& row, std::string_view what, std::size_t digits) {
  const std::string all = std::string(what) + '\n' + row.trace_id + '\n' + row.span_id + '\n' +
                          row.id + '\n' + std::to_string(nanoseconds_of(row.started_s));
  return bytes_of_id(sha256_hex(all).substr(0, digits), digits);
}

std::string id_of(const TrafficRequest& row, std::string_view hex, std::string_view what,
                  std::size_t digits) {
  std::string bytes = bytes_of_id(hex, digits);
  return bytes.empty() ? derived_id(row, what, digits) : bytes;
}

std::string error_of(const TrafficRequest& row) {
  if (!row.error_code.empty()) return row.error_code;
  if (row.status >= 400) return std::to_string(row.status);
  return row.end == "error" ? "error" : "";
}

void put_attributes(ProtobufWriter& span, const TrafficRequest& row, const OtlpResource& resource) {
  constexpr std::uint32_t kField = 9;
  put_text(span, kField, kGenaiOperation, genai_operation_of(row.route));
  put_text(span, kField, kGenaiProvider, "paring");
#define PARING_GENAI_TEXT(field, attribute) \
  if (!row.field.empty()) put_text(span, kField, attribute, row.field);
#define PARING_GENAI_COUNT(field, attribute) \
  if (row.field != 0) put_count(span, kField, attribute, row.field);
#define PARING_GENAI_AMOUNT(field, attribute) \
  if (row.field != 0) put_amount(span, kField, attribute, row.field);
#define PARING_GENAI_SECONDS(field, attribute) \
  if (row.field) put_amount(span, kField, attribute, *row.field);
#define PARING_GENAI_OTHER(name, attribute)
#include "monitor/genai_names.def"
#undef PARING_GENAI_TEXT
#undef PARING_GENAI_COUNT
#undef PARING_GENAI_AMOUNT
#undef PARING_GENAI_SECONDS
#undef PARING_GENAI_OTHER
  // What failed has a type of error even where no code says which.
  const std::string error = error_of(row);
  if (row.error_code.empty() && !error.empty()) put_text(span, kField, "error.type", error);
  const store::TrafficTokens& tokens = row.tokens;
  put_count(span, kField, kGenaiInputTokens, tokens.prompt_fresh + tokens.prompt_cached);
  put_count(span, kField, kGenaiOutputTokens, tokens.answer_visible + tokens.answer_reasoning);
  if (!row.end.empty()) put_list(span, kField, kGenaiFinishReasons, row.end);
  if (!resource.server_address.empty()) {
    put_text(span, kField, kServerAddress, resource.server_address);
    if (resource.server_port != 0) put_count(span, kField, kServerPort, resource.server_port);
  }
  put_text(span, kField, kParingCache, store::traffic_cache_name(row.cache));
  put_bool(span, kField, kParingComplete, row.is_complete);
  if (row.joules_kind != store::JoulesKind::kNone) {
    put_text(span, kField, kParingEnergyKind, store::joules_kind_name(row.joules_kind));
  }
}

struct SpanIds {
  std::string trace, own, parent;
};

ProtobufWriter span_of(const SpanIds& ids, std::string_view name, SpanKind kind, double from_s,
                       double to_s) {
  ProtobufWriter span;
  span.put_bytes(1, ids.trace);
  span.put_bytes(2, ids.own);
  if (!ids.parent.empty()) span.put_bytes(4, ids.parent);
  span.put_bytes(5, name);
  span.put_varint(6, kind);
  span.put_fixed64(7, nanoseconds_of(from_s));
  span.put_fixed64(8, nanoseconds_of(std::max(from_s, to_s)));
  return span;
}

// Of ScopeSpans.
void put_spans(ProtobufWriter& scope, const TrafficRequest& row, const OtlpResource& resource) {
  constexpr std::uint32_t kSpans = 2;
  const SpanIds ids{id_of(row, row.trace_id, "trace", kTraceDigits),
                    id_of(row, row.span_id, "span", kSpanDigits),
                    bytes_of_id(row.parent_id, kSpanDigits)};
  std::string name(genai_operation_of(row.route));
  if (!row.model.empty()) name += ' ' + row.model;
  const double end_s = row.started_s + row.seconds.total.value_or(0);
  ProtobufWriter span = span_of(ids, name, kServer, row.started_s, end_s);
  put_attributes(span, row, resource);
  // A caller's mistake (4xx) is no failure of the server that answers it.
  if (row.status >= 500 || row.end == "error") {
    ProtobufWriter status;
    status.put_bytes(2, error_of(row));
    status.put_varint(3, kStatusError);
    span.put_message(15, status);
  }
  scope.put_message(kSpans, span);

  // Each begins where the one before ended, so that without one the next have no place.
  const std::pair<std::string_view, std::optional<double>> parts[] = {
      {"queue", row.seconds.queue},
      {"prefill", row.seconds.prefill},
      {"decode", row.seconds.decode}};
  double from_s = row.started_s;
  for (const auto& [part, seconds] : parts) {
    if (!seconds) break;
    double to_s = from_s + *seconds;
    if (row.seconds.total) to_s = std::min(to_s, end_s);
    const SpanIds child{ids.trace, derived_id(row, part, kSpanDigits), ids.own};
    scope.put_message(kSpans, span_of(child, part, kInternal, from_s, to_s));
    from_s = to_s;
  }
}

ProtobufWriter resource_of(const OtlpResource& resource) {
  ProtobufWriter out;
  put_text(out, 1, "service.name", resource.service_name);
  const bool is_told_otherwise = std::ranges::any_of(
      resource.attributes, [](const auto& each) { return each.first == kVersion; });
  if (!resource.service_version.empty() && !is_told_otherwise) {
    put_text(out, 1, kVersion, resource.service_version);
  }
  for (const auto& [name, value] : resource.attributes) put_text(out, 1, name, value);
  return out;
}

ProtobufWriter scope_of(const OtlpResource& resource) {
  ProtobufWriter out;
  out.put_bytes(1, kScope);
  if (!resource.service_version.empty()) out.put_bytes(2, resource.service_version);
  return out;
}

// Of an export request: the resource and what one scope has.
std::string export_of(const OtlpResource& resource, const ProtobufWriter& scope) {
  ProtobufWriter of_resource;
  of_resource.put_message(1, resource_of(resource));
  of_resource.put_message(2, scope);
  ProtobufWriter request;
  request.put_message(1, of_resource);
  return request.bytes();
}

// The bounds that the conventions advise.
constexpr double kDurationBounds[] = {0.01, 0.02, 0.04, 0.08,  0.16,  0.32,  0.64,
                                      1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92};
constexpr double kPerTokenBounds[] = {0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2,
                                      0.3,  0.4,   0.5,  0.75,  1.0, 2.5};
constexpr double kFirstTokenBounds[] = {0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1,
                                        0.25,  0.5,   0.75, 1.0,  2.5,  5.0,  7.5,  10.0};
constexpr double kTokenBounds[] = {1,     4,     16,     64,      256,     1024,     4096,
                                   16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864};

enum FamilyPlace : std::uint8_t { kDuration, kFirstToken, kPerToken, kTokens };

}  // namespace

struct OtlpMetrics::Family {
  std::string_view name, help, unit;
  std::span<const double> bounds;
};

const OtlpMetrics::Family OtlpMetrics::kFamilies[] = {
    {"gen_ai.server.request.duration", "From the arrival of a request to the end of its answer",
     "s", kDurationBounds},
    {"gen_ai.server.time_to_first_token", "From the arrival of a request to its first token", "s",
     kFirstTokenBounds},
    {"gen_ai.server.time_per_output_token", "Between tokens after the first, mean of a request",
     "s", kPerTokenBounds},
    {"gen_ai.client.token.usage", "Tokens of requests and answers", "{token}", kTokenBounds},
};

std::string otlp_traces(std::span<const TrafficRequest> rows, const OtlpResource& resource) {
  ProtobufWriter scope;
  scope.put_message(1, scope_of(resource));
  for (const TrafficRequest& row : rows) put_spans(scope, row, resource);
  return export_of(resource, scope);
}

OtlpMetrics::OtlpMetrics(OtlpResource resource, double start_s)
    : resource_(std::move(resource)), start_s_(start_s), families_(std::size(kFamilies)) {}

void OtlpMetrics::add(const TrafficRequest& row) {
  const Key key{std::string(genai_operation_of(row.route)), row.model, error_of(row), ""};
  if (row.seconds.total) observe(kDuration, key, *row.seconds.total);
  const store::TrafficTokens& tokens = row.tokens;
  const std::int64_t answer = tokens.answer_visible + tokens.answer_reasoning;
  if (key.error.empty()) {
    if (row.seconds.first_token) observe(kFirstToken, key, *row.seconds.first_token);
    if (row.seconds.decode && answer > 1) {
      observe(kPerToken, key, *row.seconds.decode / static_cast<double>(answer - 1));
    }
  }
  const std::int64_t prompt = tokens.prompt_fresh + tokens.prompt_cached;
  if (prompt == 0 && answer == 0) return;
  Key of_type = key;
  of_type.token_type = "input";
  observe(kTokens, of_type, static_cast<double>(prompt));
  of_type.token_type = "output";
  observe(kTokens, of_type, static_cast<double>(answer));
}

void OtlpMetrics::observe(std::size_t family, Key key, double value) {
  if (!std::isfinite(value) || value < 0) return;
  std::map<Key, Histogram>& series = families_[family];
  if (series.size() >= kSeriesMax && !series.contains(key)) {
    key = {"", "", "", key.token_type};
  }
  const std::span<const double> bounds = kFamilies[family].bounds;
  Histogram& histogram = series[key];
  histogram.counts.resize(bounds.size() + 1);
  const auto bucket = std::ranges::lower_bound(bounds, value) - bounds.begin();
  ++histogram.counts[static_cast<std::size_t>(bucket)];
  ++histogram.count;
  histogram.sum += value;
}

std::string OtlpMetrics::request(double now_s) const {
  ProtobufWriter scope;
  scope.put_message(1, scope_of(resource_));
  bool is_empty = true;
  for (std::size_t i = 0; i < families_.size(); ++i) {
    if (families_[i].empty()) continue;
    is_empty = false;
    ProtobufWriter histogram;
    for (const auto& [key, series] : families_[i]) {
      constexpr std::uint32_t kField = 9;
      ProtobufWriter point;
      point.put_fixed64(2, nanoseconds_of(start_s_));
      point.put_fixed64(3, nanoseconds_of(now_s));
      point.put_fixed64(4, series.count);
      point.put_double(5, series.sum);
      point.put_packed(6, std::span<const std::uint64_t>(series.counts));
      point.put_packed(7, kFamilies[i].bounds);
      if (key.operation.empty()) {
        put_bool(point, kField, "otel.metric.overflow", true);
      } else {
        put_text(point, kField, kGenaiOperation, key.operation);
        put_text(point, kField, kGenaiProvider, "paring");
      }
      if (!key.model.empty()) put_text(point, kField, "gen_ai.request.model", key.model);
      if (!key.error.empty()) put_text(point, kField, "error.type", key.error);
      if (!key.token_type.empty()) put_text(point, kField, kGenaiTokenType, key.token_type);
      histogram.put_message(1, point);
    }
    histogram.put_varint(2, kCumulative);
    ProtobufWriter metric;
    metric.put_bytes(1, kFamilies[i].name);
    metric.put_bytes(2, kFamilies[i].help);
    metric.put_bytes(3, kFamilies[i].unit);
    metric.put_message(9, histogram);
    scope.put_message(2, metric);
  }
  return is_empty ? std::string() : export_of(resource_, scope);
}

}  // namespace paring::monitor
