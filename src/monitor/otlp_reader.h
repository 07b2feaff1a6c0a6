// SPDX-License-Identifier: Apache-2.0
// Spans that others send (OTLP's ExportTraceServiceRequest in Protocol Buffers) as rows of traffic,
// by the names of genai_names.def. Stateless; bounded by the size of the body.
#pragma once

#include <cstdint>
#include <span>
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

}  // namespace paring::monitor
