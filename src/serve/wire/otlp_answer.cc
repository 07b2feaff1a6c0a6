// SPDX-License-Identifier: Apache-2.0
#include "serve/wire/otlp_answer.h"

#include <limits>
#include <utility>

#include "serve/wire/detail/json_text.h"

namespace paring::serve::wire {

namespace {

void append_varint(std::string& out, std::uint64_t value) {
  constexpr std::uint64_t kMore = 0x80;
  for (; value >= kMore; value >>= 7) out += static_cast<char>((value & (kMore - 1)) | kMore);
  out += static_cast<char>(value);
}

constexpr std::size_t kAny = std::numeric_limits<std::size_t>::max();

Field parts(const char* name, Shape of_each, const char* help) {
  return field(name, list(std::move(of_each), 0, kAny), help);
}

Shape time_shape() {
  constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();
  return one_of({text(1), integer(0, kMax)});
}

Field attributes(const char* help) {
  return parts("attributes",
               open_object({field("key", text(), "Its name."),
                            field("value",
                                  open_object({
                                      field("stringValue", text(), "A text."),
                                      field("boolValue", boolean(), "Or true or false."),
                                      field("intValue", any_json(), "Or a whole number."),
                                      field("doubleValue", any_json(), "Or a number."),
                                      field("arrayValue", open_object(), "Or a list."),
                                      field("kvlistValue", open_object(), "Or named values."),
                                  }),
                                  "Its value.")}),
               help);
}

Shape partial_shape(const char* count, const char* help) {
  return object({field("partialSuccess",
                       object({required(count, text(1), help),
                               required("errorMessage", text(), "Why they were not.")}),
                       "Absent: all were taken.")});
}

}  // namespace

const Shape& otlp_traces_request() {
  static const Shape span = open_object({
      field("traceId", text(), "32 hexadecimal digits. A span without ids is not taken."),
      field("spanId", text(), "16 of them."),
      field("parentSpanId", text(), "Of the span that it is part of."),
      field("name", text(), "Of the span."),
      field("startTimeUnixNano", time_shape(), "Nanoseconds since 1970."),
      field("endTimeUnixNano", time_shape(), "The same of its end."),
      attributes("Those of gen_ai.* tell the model, tokens and times; a span without a model or an "
                 "operation is not taken."),
      field("status",
            open_object({field("message", text(), "What went wrong."),
                         field("code", any_json(), "2: an error.")}),
            "How it ended."),
  });
  static const Shape shape = open_object(
      {parts("resourceSpans",
             open_object({parts("scopeSpans", open_object({parts("spans", span, "The spans.")}),
                                "By who made them.")}),
             "By whose they are.")});
  return shape;
}

const Shape& otlp_logs_request() {
  static const Shape record = open_object({
      field("eventName", text(), "gen_ai.evaluation.result; others are not taken."),
      field("traceId", text(), "Of the span that is judged, 32 hexadecimal digits."),
      field("spanId", text(), "16 of them."),
      attributes("gen_ai.evaluation.name, .score.value, .score.label and .explanation; "
                 "gen_ai.response.id."),
  });
  static const Shape shape = open_object({parts(
      "resourceLogs",
      open_object({parts("scopeLogs", open_object({parts("logRecords", record, "The events.")}),
                         "By who made them.")}),
      "By whose they are.")});
  return shape;
}

const Shape& otlp_traces_answer_shape() {
  static const Shape shape = partial_shape("rejectedSpans", "How many were not taken.");
  return shape;
}

const Shape& otlp_logs_answer_shape() {
  static const Shape shape = partial_shape("rejectedLogRecords", "How many were not taken.");
  return shape;
}

std::string otlp_answer(const OtlpRejected& rejected) {
  if (rejected.count == 0) return {};
  constexpr char kRejectedTag = 0x08;  // field 1, a varint
  constexpr char kMessageTag = 0x12;   // field 2, bytes
  constexpr char kPartialTag = 0x0a;   // field 1, a message
  std::string partial(1, kRejectedTag);
  append_varint(partial, static_cast<std::uint64_t>(rejected.count));
  partial += kMessageTag;
  append_varint(partial, rejected.reason.size());
  partial += rejected.reason;
  std::string out(1, kPartialTag);
  append_varint(out, partial.size());
  return out + partial;
}

std::string otlp_json_answer(const OtlpRejected& rejected, bool is_of_spans) {
  if (rejected.count == 0) return "{}";
  std::string out;
  append(out, "{\"partialSuccess\":{\"", is_of_spans ? "rejectedSpans" : "rejectedLogRecords",
         "\":\"", rejected.count, "\",\"errorMessage\":", json_string(rejected.reason), "}}");
  return out;
}

}  // namespace paring::serve::wire
