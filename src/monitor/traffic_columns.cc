// SPDX-License-Identifier: Apache-2.0
#include "monitor/traffic_columns.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <ctime>
#include <nlohmann/json.hpp>
#include <string_view>
#include <type_traits>

#include "store/token_gaps.h"
#include "text/unicode.h"

namespace paring::monitor {

namespace {

using Json = nlohmann::ordered_json;
using Row = store::TrafficRequest;

ColumnValue maybe(const std::optional<double>& value) {
  return value ? ColumnValue(*value) : ColumnValue();
}

ColumnValue gaps_of(const Row& row) {
  auto gaps = store::decode_gaps(row.gaps);
  return gaps ? *std::move(gaps) : std::vector<std::int64_t>();
}

// enumerator of ColumnKind, name, value
#define PARING_TRAFFIC_COLUMNS(X)                                              \
  X(kText, id, row.id)                                                         \
  X(kReal, started_s, row.started_s)                                           \
  X(kTime, started_at, iso_time(row.started_s))                                \
  X(kText, trace_id, row.trace_id)                                             \
  X(kText, span_id, row.span_id)                                               \
  X(kText, parent_id, row.parent_id)                                           \
  X(kText, route, row.route)                                                   \
  X(kInteger, status, std::int64_t{row.status})                                \
  X(kBoolean, is_complete, row.is_complete)                                    \
  X(kText, ending, row.end)                                                    \
  X(kText, error_code, row.error_code)                                         \
  X(kText, key_id, row.key_id)                                                 \
  X(kText, tenant, row.tenant)                                                 \
  X(kText, end_user, row.user)                                                 \
  X(kText, session, row.session)                                               \
  X(kText, model, row.model)                                                   \
  X(kText, variant, row.variant)                                               \
  X(kText, cache, std::string(store::traffic_cache_name(row.cache)))           \
  X(kInteger, prompt_fresh, row.tokens.prompt_fresh)                           \
  X(kInteger, prompt_cached, row.tokens.prompt_cached)                         \
  X(kInteger, answer_visible, row.tokens.answer_visible)                       \
  X(kInteger, answer_reasoning, row.tokens.answer_reasoning)                   \
  X(kInteger, drafted, row.tokens.drafted)                                     \
  X(kInteger, accepted, row.tokens.accepted)                                   \
  X(kReal, queue_seconds, maybe(row.seconds.queue))                            \
  X(kReal, prefill_seconds, maybe(row.seconds.prefill))                        \
  X(kReal, decode_seconds, maybe(row.seconds.decode))                          \
  X(kReal, first_token_seconds, maybe(row.seconds.first_token))                \
  X(kReal, total_seconds, maybe(row.seconds.total))                            \
  X(kReal, operations, row.operations)                                         \
  X(kReal, bytes_read, row.bytes_read)                                         \
  X(kReal, joules, row.joules)                                                 \
  X(kText, joules_kind, std::string(store::joules_kind_name(row.joules_kind))) \
  X(kReal, hardware_cost, row.money.hardware)                                  \
  X(kReal, energy_cost, row.money.energy)                                      \
  X(kReal, token_cost, row.money.tokens)                                       \
  X(kText, currency, row.money.currency)                                       \
  X(kInteger, peak_pages, row.peak_pages)                                      \
  X(kInteger, preemptions, row.preemptions)                                    \
  X(kNumbers, gap_microseconds, gaps_of(row))                                  \
  X(kText, prompt_version, row.prompt_version)                                 \
  X(kReal, prefill_work_seconds, row.seconds.prefill_work)                     \
  X(kReal, decode_work_seconds, row.seconds.decode_work)

constexpr std::size_t kContentColumns = 2;
constexpr TrafficColumn kColumns[] = {
#define PARING_X(kind, name, value) \
  {#name, ColumnKind::kind, [](const Row& row) -> ColumnValue { return (value); }},
    PARING_TRAFFIC_COLUMNS(PARING_X)
#undef PARING_X
        {"prompt", ColumnKind::kJson,
         [](const Row& row) {
           return row.content ? ColumnValue(row.content->prompt) : ColumnValue();
         },
         /*is_content=*/true},
    {"answer", ColumnKind::kJson,
     [](const Row& row) { return row.content ? ColumnValue(row.content->answer) : ColumnValue(); },
     /*is_content=*/true},
};

// The shortest text that gives the number back.
std::string number(double value) { return std::isfinite(value) ? fmt::format("{}", value) : ""; }

std::string list(const std::vector<std::int64_t>& numbers, const char* between) {
  return fmt::format("{}", fmt::join(numbers, between));
}

std::string in_quotes(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + '"';
}

// A field without quotes where it needs none.
std::string field(std::string_view text) {
  return text.find_first_of(",\"\r\n") == std::string_view::npos ? std::string(text)
                                                                 : in_quotes(text);
}

std::string guarded(const std::string& text) {
  constexpr std::string_view kFormula = "=+-@\t\r";
  const bool is_formula = !text.empty() && kFormula.find(text[0]) != std::string_view::npos;
  return is_formula ? "'" + text : text;
}

std::string csv_field(const TrafficColumn& column, const Row& row) {
  const ColumnValue value = column.get(row);
  if (const auto* text = std::get_if<std::string>(&value)) return field(guarded(*text));
  if (const auto* whole = std::get_if<std::int64_t>(&value)) return std::to_string(*whole);
  if (const auto* real = std::get_if<double>(&value)) return number(*real);
  if (const auto* is_so = std::get_if<bool>(&value)) return *is_so ? "true" : "false";
  if (const auto* all = std::get_if<std::vector<std::int64_t>>(&value)) return list(*all, " ");
  return "";
}

std::string for_postgres(std::string_view text) {
  std::string sound = text::repaired_utf8(text);
  for (std::size_t at = 0; (at = sound.find('\0', at)) != std::string::npos;) {
    sound.replace(at, 1, text::kReplacement);
  }
  return in_quotes(sound);
}

std::string copy_field(const TrafficColumn& column, const Row& row) {
  const ColumnValue value = column.get(row);
  const auto* text = std::get_if<std::string>(&value);
  if (text != nullptr && column.kind == ColumnKind::kTime) return *text;
  if (text != nullptr) return for_postgres(*text);
  if (const auto* all = std::get_if<std::vector<std::int64_t>>(&value)) {
    return "\"{" + list(*all, ",") + "}\"";
  }
  return csv_field(column, row);
}

template <typename Field>
std::string joined(std::span<const TrafficColumn> columns, const char* end, Field&& field_of) {
  std::string line;
  for (const TrafficColumn& column : columns) {
    if (!line.empty() || &column != columns.data()) line += ',';
    line += field_of(column);
  }
  return line + end;
}

}  // namespace

std::span<const TrafficColumn> traffic_columns(bool with_content) noexcept {
  const std::span<const TrafficColumn> all = kColumns;
  return with_content ? all : all.first(all.size() - kContentColumns);
}

std::string iso_time(double seconds) {
  constexpr double kEnd = 253402300800;  // the year 10000
  constexpr std::int64_t kMillion = 1'000'000;
  if (!(seconds >= 0 && seconds < kEnd)) return "";
  const auto micros = static_cast<std::int64_t>(std::floor(seconds * 1e6));
  const std::time_t whole = micros / kMillion;
  std::tm parts{};
  ::gmtime_r(&whole, &parts);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z", parts.tm_year + 1900,
                     parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
                     micros % kMillion);
}

std::string json_line(const Row& row, bool with_content) {
  Json line = Json::object();
  for (const TrafficColumn& column : traffic_columns(with_content)) {
    Json& member = line[column.name];
    std::visit(
        [&](auto&& value) {
          using Type = std::decay_t<decltype(value)>;
          if constexpr (!std::is_same_v<Type, std::monostate>) member = value;
        },
        column.get(row));
    if (column.kind != ColumnKind::kJson || !member.is_string()) continue;
    Json parsed = Json::parse(member.get_ref<const std::string&>(), nullptr, false);
    if (!parsed.is_discarded()) member = std::move(parsed);
  }
  return line.dump(-1, ' ', false, Json::error_handler_t::replace) + '\n';
}

std::string csv_head(bool with_content) {
  return joined(traffic_columns(with_content), "\r\n",
                [](const TrafficColumn& column) { return std::string(column.name); });
}

std::string csv_line(const Row& row, bool with_content) {
  return joined(traffic_columns(with_content), "\r\n",
                [&](const TrafficColumn& column) { return csv_field(column, row); });
}

std::string copy_line(const Row& row) {
  return joined(traffic_columns(true), "\n",
                [&](const TrafficColumn& column) { return copy_field(column, row); });
}

}  // namespace paring::monitor
