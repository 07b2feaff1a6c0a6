// SPDX-License-Identifier: Apache-2.0
// What a receiver of OTLP answers (ExportTraceServiceResponse and ExportLogsServiceResponse, which
// have the same fields), and what of its requests is read, as the document says it: they are read
// by monitor/otlp_json.h. Functions are stateless.
#pragma once

#include <cstdint>
#include <string>

#include "serve/wire/shape.h"

namespace paring::serve::wire {

// What was not taken, though the request was.
struct OtlpRejected {
  std::int64_t count = 0;
  std::string reason;
};
std::string otlp_answer(const OtlpRejected& rejected);
std::string otlp_json_answer(const OtlpRejected& rejected, bool is_of_spans);

const Shape& otlp_traces_request();
const Shape& otlp_logs_request();
const Shape& otlp_traces_answer_shape();
const Shape& otlp_logs_answer_shape();

}  // namespace paring::serve::wire
