// SPDX-License-Identifier: Apache-2.0
// Spans that others send (OTLP's ExportTraceServiceRequest in Protocol Buffers) as rows of traffic,
// by the names of genai_names.def. Stateless; bounded by the size of the body.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "store/traffic_rows.h"

namespace paring::monitor {

struct OtlpSpans {
  std::vector<store::TrafficRequest> rows;
  std::int64_t not_understood = 0;  // spans without a model or an operation of gen_ai.*
};

inline constexpr std::size_t kOtlpSpansMax = 10'000;  // of one body

// Whose a row is (key, tenant) is not for a sender to say: those are empty. InvalidArgument: not
// such a message. Exhausted: more than kOtlpSpansMax spans.
Result<OtlpSpans> read_otlp_traces(std::span<const std::uint8_t> body);

// The event gen_ai.evaluation.result: what a judge thought of an answer.
struct OtlpEvaluation {
  std::string name;         // gen_ai.evaluation.name
  std::string response_id;  // gen_ai.response.id; or
  std::string trace_id;     // hexadecimal; may be empty
  std::string span_id;
  std::optional<double> value;  // gen_ai.evaluation.score.value
  std::string label;            // gen_ai.evaluation.score.label
  std::string explanation;
  std::string evaluator;  // whose service.name it is
};
struct OtlpEvaluations {
  std::vector<OtlpEvaluation> all;
  std::int64_t not_understood = 0;  // other events, and those without a name, a score or a subject
};

// ExportLogsServiceRequest in Protocol Buffers. Errors as above.
Result<OtlpEvaluations> read_otlp_evaluations(std::span<const std::uint8_t> body);

}  // namespace paring::monitor
