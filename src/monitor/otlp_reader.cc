// SPDX-License-Identifier: Apache-2.0
#include "monitor/otlp_reader.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "monitor/detail/protobuf_reader.h"
#include "monitor/genai_names.h"

namespace paring::monitor {

namespace {

using detail::ProtobufField;
using detail::ProtobufReader;
using store::TrafficRequest;
using Bytes = std::span<const std::uint8_t>;
using Type = ProtobufField::Type;

constexpr std::uint64_t kStatusError = 2;

std::string text_of(Bytes bytes) {
  const std::size_t size = std::min(bytes.size(), store::kTrafficTextBytesMax);
  return {reinterpret_cast<const char*>(bytes.data()), size};
}

std::string id_of(Bytes bytes, std::size_t size) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  if (bytes.size() != size) return out;
  for (const std::uint8_t byte : bytes) {
    out += kDigits[byte >> 4];
    out += kDigits[byte & 15];
  }
  return out;
}

// What an AnyValue is, as far as rows have such. Of a list its first text.
struct Value {
  std::optional<std::string> text;
  std::optional<bool> is_so;
  std::optional<std::int64_t> count;
  std::optional<double> amount;
};

// Reads every field of a message; false where it is none.
template <typename OnField>
bool each_field(Bytes message, const OnField& on_field) {
  ProtobufReader reader(message);
  while (const auto field = reader.next()) {
    if (!on_field(*field)) return false;
  }
  return !reader.has_failed();
}

bool is_message(const ProtobufField& field, std::uint64_t number) {
  return field.number == number && field.type == Type::kBytes;
}

bool read_list(Bytes list, Value& value) {
  return each_field(list, [&](const ProtobufField& item) {
    if (!is_message(item, 1)) return true;
    return each_field(item.bytes, [&](const ProtobufField& field) {
      if (is_message(field, 1) && !value.text) value.text = text_of(field.bytes);
      return true;
    });
  });
}

bool read_value(Bytes any, Value& value) {
  return each_field(any, [&](const ProtobufField& field) {
    if (is_message(field, 1)) value.text = text_of(field.bytes);
    if (is_message(field, 5)) return read_list(field.bytes, value);
    if (field.number == 2 && field.type == Type::kVarint) value.is_so = field.value != 0;
    if (field.number == 3 && field.type == Type::kVarint) {
      value.count = static_cast<std::int64_t>(field.value);
    }
    if (field.number == 4 && field.type == Type::kFixed64) {
      value.amount = std::bit_cast<double>(field.value);
    }
    return true;
  });
}

// What makes more than one field of a row, kept until all attributes are read.
struct Pending {
  std::int64_t input = 0, output = 0;
  std::string operation;
};

template <typename To>
void set_count(To& to, const Value& value) {
  constexpr std::int64_t kMax = std::int64_t{1} << 53;  // what a double still counts
  if (!value.count || *value.count < 0 || *value.count > kMax) return;
  if (std::in_range<To>(*value.count)) to = static_cast<To>(*value.count);
}
template <typename To>
void set_amount(To& to, const Value& value) {
  const double amount =
      value.amount.value_or(value.count ? static_cast<double>(*value.count) : -1.0);
  if (std::isfinite(amount) && amount >= 0) to = amount;
}

void set_attribute(std::string_view name, Value value, TrafficRequest& row, Pending& pending) {
#define PARING_GENAI_TEXT(field, attribute) \
  if (name == attribute && value.text) row.field = std::move(*value.text);
#define PARING_GENAI_COUNT(field, attribute) \
  if (name == attribute) set_count(row.field, value);
#define PARING_GENAI_AMOUNT(field, attribute) \
  if (name == attribute) set_amount(row.field, value);
#define PARING_GENAI_SECONDS(field, attribute) \
  if (name == attribute) set_amount(row.field, value);
#define PARING_GENAI_OTHER(name, attribute)
#include "monitor/genai_names.def"
#undef PARING_GENAI_TEXT
#undef PARING_GENAI_COUNT
#undef PARING_GENAI_AMOUNT
#undef PARING_GENAI_SECONDS
#undef PARING_GENAI_OTHER
  if (name == kGenaiInputTokens) set_count(pending.input, value);
  if (name == kGenaiOutputTokens) set_count(pending.output, value);
  if (name == kGenaiFinishReasons && value.text) row.end = std::move(*value.text);
  if (name == kGenaiOperation && value.text) pending.operation = std::move(*value.text);
  if (name == kParingComplete && value.is_so) row.is_complete = *value.is_so;
  if (name == kParingCache && value.text) {
    row.cache = store::traffic_cache_of(*value.text).value_or(row.cache);
  }
  if (name == kParingEnergyKind && value.text) {
    for (const auto kind : {store::JoulesKind::kMeasured, store::JoulesKind::kEstimated}) {
      if (*value.text == store::joules_kind_name(kind)) row.joules_kind = kind;
    }
  }
}

bool read_pair(Bytes pair, std::string& name, Value& value) {
  return each_field(pair, [&](const ProtobufField& field) {
    if (is_message(field, 1)) name = text_of(field.bytes);
    if (is_message(field, 2)) return read_value(field.bytes, value);
    return true;
  });
}

bool read_attribute(Bytes pair, TrafficRequest& row, Pending& pending) {
  std::string name;
  Value value;
  const bool is_read = read_pair(pair, name, value);
  if (is_read) set_attribute(name, std::move(value), row, pending);
  return is_read;
}

bool read_span(Bytes span, OtlpSpans& out) {
  TrafficRequest row;
  row.is_complete = true;  // unless it says that it is not
  Pending pending;
  std::uint64_t from = 0;
  std::uint64_t to = 0;
  bool has_error = false;
  const bool is_read = each_field(span, [&](const ProtobufField& field) {
    if (is_message(field, 1)) row.trace_id = id_of(field.bytes, 16);
    if (is_message(field, 2)) row.span_id = id_of(field.bytes, 8);
    if (is_message(field, 4)) row.parent_id = id_of(field.bytes, 8);
    if (field.number == 7 && field.type == Type::kFixed64) from = field.value;
    if (field.number == 8 && field.type == Type::kFixed64) to = field.value;
    if (is_message(field, 9)) return read_attribute(field.bytes, row, pending);
    if (is_message(field, 15)) {
      return each_field(field.bytes, [&](const ProtobufField& status) {
        if (status.number == 3) has_error = status.value == kStatusError;
        return true;
      });
    }
    return true;
  });
  if (!is_read) return false;
  if (row.model.empty() && pending.operation.empty()) {
    ++out.not_understood;
    return true;
  }
  row.key_id.clear();
  row.tenant.clear();
  row.started_s = static_cast<double>(from / 1000) / 1e6;
  if (to >= from) row.seconds.total = static_cast<double>(to - from) / 1e9;
  // Each token is of one class here, and sums in the conventions.
  store::TrafficTokens& tokens = row.tokens;
  tokens.prompt_cached = std::min(tokens.prompt_cached, pending.input);
  tokens.prompt_fresh = pending.input - tokens.prompt_cached;
  tokens.answer_reasoning = std::min(tokens.answer_reasoning, pending.output);
  tokens.answer_visible = pending.output - tokens.answer_reasoning;
  if (row.route.empty()) row.route = pending.operation;
  if (has_error && row.end.empty()) row.end = "error";
  out.rows.push_back(std::move(row));
  return true;
}

}  // namespace

Result<OtlpSpans> read_otlp_traces(Bytes body) {
  OtlpSpans out;
  std::size_t spans = 0;
  const bool is_read = each_field(body, [&](const ProtobufField& of_resource) {
    if (!is_message(of_resource, 1)) return true;
    return each_field(of_resource.bytes, [&](const ProtobufField& of_scope) {
      if (!is_message(of_scope, 2)) return true;
      return each_field(of_scope.bytes, [&](const ProtobufField& span) {
        if (!is_message(span, 2)) return true;
        return ++spans <= kOtlpSpansMax && read_span(span.bytes, out);
      });
    });
  });
  if (spans > kOtlpSpansMax) {
    return exhausted("more than " + std::to_string(kOtlpSpansMax) + " spans in one body",
                     "send them in smaller batches");
  }
  if (!is_read) {
    return invalid_argument("the body is no ExportTraceServiceRequest of OTLP",
                            "send it as application/x-protobuf");
  }
  return out;
}

namespace {

constexpr std::string_view kEvaluation = "gen_ai.evaluation.result";

bool read_log(Bytes record, const std::string& service, OtlpEvaluations& out) {
  OtlpEvaluation found;
  found.evaluator = service;
  std::string event;
  const bool is_read = each_field(record, [&](const ProtobufField& field) {
    if (is_message(field, 9)) found.trace_id = id_of(field.bytes, 16);
    if (is_message(field, 10)) found.span_id = id_of(field.bytes, 8);
    if (is_message(field, 12)) event = text_of(field.bytes);
    if (!is_message(field, 6)) return true;
    std::string name;
    Value value;
    if (!read_pair(field.bytes, name, value)) return false;
    // Before events had a field of their own for it.
    if (name == "event.name" && value.text && event.empty()) event = *value.text;
    if (name == "gen_ai.evaluation.name" && value.text) found.name = *value.text;
    if (name == "gen_ai.evaluation.score.label" && value.text) found.label = *value.text;
    if (name == "gen_ai.evaluation.explanation" && value.text) found.explanation = *value.text;
    if (name == "gen_ai.response.id" && value.text) found.response_id = *value.text;
    if (name == "gen_ai.evaluation.score.value") {
      if (value.count) found.value = static_cast<double>(*value.count);
      if (value.amount && std::isfinite(*value.amount)) found.value = value.amount;
    }
    return true;
  });
  if (!is_read) return false;
  const bool has_subject = !found.response_id.empty() || !found.span_id.empty();
  const bool has_score = found.value || !found.label.empty();
  if (event == kEvaluation && !found.name.empty() && has_subject && has_score) {
    out.all.push_back(std::move(found));
  } else {
    ++out.not_understood;
  }
  return true;
}

bool read_service(Bytes resource, std::string& service) {
  return each_field(resource, [&](const ProtobufField& field) {
    if (!is_message(field, 1)) return true;
    std::string name;
    Value value;
    if (!read_pair(field.bytes, name, value)) return false;
    if (name == "service.name" && value.text) service = *value.text;
    return true;
  });
}

}  // namespace

Result<OtlpEvaluations> read_otlp_evaluations(Bytes body) {
  OtlpEvaluations out;
  std::size_t records = 0;
  const bool is_read = each_field(body, [&](const ProtobufField& of_resource) {
    if (!is_message(of_resource, 1)) return true;
    std::string service;
    return each_field(of_resource.bytes, [&](const ProtobufField& field) {
      if (is_message(field, 1)) return read_service(field.bytes, service);
      if (!is_message(field, 2)) return true;
      return each_field(field.bytes, [&](const ProtobufField& record) {
        if (!is_message(record, 2)) return true;
        return ++records <= kOtlpSpansMax && read_log(record.bytes, service, out);
      });
    });
  });
  if (records > kOtlpSpansMax) {
    return exhausted("more than " + std::to_string(kOtlpSpansMax) + " records in one body",
                     "send them in smaller batches");
  }
  if (!is_read) {
    return invalid_argument("the body is no ExportLogsServiceRequest of OTLP",
                            "send it as application/x-protobuf");
  }
  return out;
}

}  // namespace paring::monitor
