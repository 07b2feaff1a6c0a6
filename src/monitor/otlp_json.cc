// SPDX-License-Identifier: Apache-2.0
#include "monitor/otlp_json.h"

#include <fmt/format.h>

#include <charconv>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <utility>

#include "monitor/detail/protobuf_writer.h"

namespace paring::monitor {

namespace {

using detail::ProtobufWriter;
using Json = nlohmann::json;

enum class Kind : std::uint8_t { kMessage, kText, kHex, kFixed64, kVarint, kInt64, kDouble, kBool };

struct Message;
struct Field {
  const char* name;
  std::uint32_t number;
  Kind kind;
  const Message* message = nullptr;  // of kMessage
  bool is_list = false;
};
struct Message {
  std::span<const Field> fields;
};

// opentelemetry-proto 1.x: common.proto, trace.proto, logs.proto and the two services.
extern const Message kAnyValue;
extern const Message kKeyValue;
constexpr Field kListFields[] = {{"values", 1, Kind::kMessage, &kAnyValue, true}};
constexpr Message kList{kListFields};
constexpr Field kMapFields[] = {{"values", 1, Kind::kMessage, &kKeyValue, true}};
constexpr Message kMap{kMapFields};
constexpr Field kAnyValueFields[] = {{"stringValue", 1, Kind::kText},
                                     {"boolValue", 2, Kind::kBool},
                                     {"intValue", 3, Kind::kInt64},
                                     {"doubleValue", 4, Kind::kDouble},
                                     {"arrayValue", 5, Kind::kMessage, &kList},
                                     {"kvlistValue", 6, Kind::kMessage, &kMap}};
const Message kAnyValue{kAnyValueFields};
constexpr Field kKeyValueFields[] = {{"key", 1, Kind::kText},
                                     {"value", 2, Kind::kMessage, &kAnyValue}};
const Message kKeyValue{kKeyValueFields};
constexpr Field kStatusFields[] = {{"message", 2, Kind::kText}, {"code", 3, Kind::kVarint}};
constexpr Message kStatus{kStatusFields};
constexpr Field kSpanFields[] = {{"traceId", 1, Kind::kHex},
                                 {"spanId", 2, Kind::kHex},
                                 {"parentSpanId", 4, Kind::kHex},
                                 {"name", 5, Kind::kText},
                                 {"kind", 6, Kind::kVarint},
                                 {"startTimeUnixNano", 7, Kind::kFixed64},
                                 {"endTimeUnixNano", 8, Kind::kFixed64},
                                 {"attributes", 9, Kind::kMessage, &kKeyValue, true},
                                 {"status", 15, Kind::kMessage, &kStatus}};
constexpr Message kSpan{kSpanFields};
constexpr Field kScopeSpansFields[] = {{"spans", 2, Kind::kMessage, &kSpan, true}};
constexpr Message kScopeSpans{kScopeSpansFields};
constexpr Field kResourceSpansFields[] = {{"scopeSpans", 2, Kind::kMessage, &kScopeSpans, true}};
constexpr Message kResourceSpans{kResourceSpansFields};
constexpr Field kTracesFields[] = {{"resourceSpans", 1, Kind::kMessage, &kResourceSpans, true}};
constexpr Message kTraces{kTracesFields};
constexpr Field kLogFields[] = {{"timeUnixNano", 1, Kind::kFixed64},
                                {"body", 5, Kind::kMessage, &kAnyValue},
                                {"attributes", 6, Kind::kMessage, &kKeyValue, true},
                                {"traceId", 9, Kind::kHex},
                                {"spanId", 10, Kind::kHex},
                                {"observedTimeUnixNano", 11, Kind::kFixed64},
                                {"eventName", 12, Kind::kText}};
constexpr Message kLog{kLogFields};
constexpr Field kScopeLogsFields[] = {{"logRecords", 2, Kind::kMessage, &kLog, true}};
constexpr Message kScopeLogs{kScopeLogsFields};
constexpr Field kResourceLogsFields[] = {{"scopeLogs", 2, Kind::kMessage, &kScopeLogs, true}};
constexpr Message kResourceLogs{kResourceLogsFields};
constexpr Field kLogsFields[] = {{"resourceLogs", 1, Kind::kMessage, &kResourceLogs, true}};
constexpr Message kLogs{kLogsFields};

Error wrong(const std::string& where, const char* wanted) {
  return invalid_argument(fmt::format("{} is not {}", where, wanted),
                          "see the OTLP specification, JSON Protobuf Encoding");
}

template <typename Number>
std::optional<Number> whole(const Json& value) {
  if (value.is_number_unsigned()) {
    const auto number = value.get<std::uint64_t>();
    return std::in_range<Number>(number) ? std::optional(static_cast<Number>(number))
                                         : std::nullopt;
  }
  if (value.is_number_integer()) {
    const auto number = value.get<std::int64_t>();
    return std::in_range<Number>(number) ? std::optional(static_cast<Number>(number))
                                         : std::nullopt;
  }
  if (!value.is_string()) return std::nullopt;
  const auto& text = value.get_ref<const std::string&>();
  Number number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::optional<std::string> bytes_of_hex(const std::string& hex) {
  if (hex.size() % 2 != 0) return std::nullopt;
  std::string bytes;
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    const int high = digit(hex[i]);
    const int low = digit(hex[i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    bytes += static_cast<char>(high * 16 + low);
  }
  return bytes;
}

Result<ProtobufWriter> message_of(const Json& json, const Message& message,
                                  const std::string& where, int depth);

Result<void> put(const Json& value, const Field& field, const std::string& where, int depth,
                 ProtobufWriter& out) {
  switch (field.kind) {
    case Kind::kMessage: {
      PARING_TRY(const ProtobufWriter inner, message_of(value, *field.message, where, depth));
      out.put_message(field.number, inner);
      return {};
    }
    case Kind::kText:
      if (!value.is_string()) return wrong(where, "a text");
      out.put_bytes(field.number, value.get_ref<const std::string&>());
      return {};
    case Kind::kHex: {
      const auto bytes =
          value.is_string() ? bytes_of_hex(value.get_ref<const std::string&>()) : std::nullopt;
      if (!bytes) return wrong(where, "a hexadecimal text");
      out.put_bytes(field.number, *bytes);
      return {};
    }
    case Kind::kFixed64:
    case Kind::kVarint: {
      const auto number = whole<std::uint64_t>(value);
      if (!number) return wrong(where, "a whole number that is not negative");
      if (field.kind == Kind::kFixed64) {
        out.put_fixed64(field.number, *number);
      } else {
        out.put_varint(field.number, *number);
      }
      return {};
    }
    case Kind::kInt64: {
      const auto number = whole<std::int64_t>(value);
      if (!number) return wrong(where, "a whole number of 64 bits");
      out.put_varint(field.number, static_cast<std::uint64_t>(*number));
      return {};
    }
    case Kind::kDouble:
      if (!value.is_number()) return wrong(where, "a number");
      out.put_double(field.number, value.get<double>());
      return {};
    case Kind::kBool:
      if (!value.is_boolean()) return wrong(where, "true or false");
      out.put_varint(field.number, value.get<bool>() ? 1 : 0);
      return {};
  }
  return {};
}

Result<ProtobufWriter> message_of(const Json& json, const Message& message,
                                  const std::string& where, int depth) {
  if (depth > kOtlpJsonDepthMax) {
    return invalid_argument(
        fmt::format("values lie in each other deeper than {}", kOtlpJsonDepthMax),
        "send flat attributes");
  }
  if (!json.is_object()) return wrong(where, "an object");
  ProtobufWriter out;
  for (const Field& field : message.fields) {
    const auto found = json.find(field.name);
    if (found == json.end() || found->is_null()) continue;
    const std::string name = where + "." + field.name;
    if (!field.is_list) {
      PARING_TRY_VOID(put(*found, field, name, depth + 1, out));
      continue;
    }
    if (!found->is_array()) return wrong(name, "a list");
    for (std::size_t i = 0; i < found->size(); ++i) {
      PARING_TRY_VOID(put((*found)[i], field, fmt::format("{}[{}]", name, i), depth + 1, out));
    }
  }
  return out;
}

// nlohmann's parser does not recurse, its destructor of trees does: depth is bounded as it reads.
class DepthGuard {
 public:
  bool operator()(int depth, Json::parse_event_t, Json&) {
    is_too_deep = is_too_deep || depth > 4 * kOtlpJsonDepthMax;
    return !is_too_deep;
  }
  bool is_too_deep = false;
};

}  // namespace

Result<std::string> otlp_of_json(std::string_view json, OtlpRequest request) {
  DepthGuard guard;
  const Json read = Json::parse(
      json,
      [&](int depth, Json::parse_event_t event, Json& value) { return guard(depth, event, value); },
      /*allow_exceptions=*/false);
  if (guard.is_too_deep) {
    return invalid_argument("values lie in each other too deep", "send flat attributes");
  }
  if (read.is_discarded()) return invalid_argument("the body is no JSON", "or is cut");
  const bool is_traces = request == OtlpRequest::kTraces;
  PARING_TRY(const ProtobufWriter out,
             message_of(read, is_traces ? kTraces : kLogs, is_traces ? "traces" : "logs", 0));
  return out.bytes();
}

}  // namespace paring::monitor
