// SPDX-License-Identifier: Apache-2.0
// What a receiver of OTLP answers (ExportTraceServiceResponse and ExportLogsServiceResponse, which
// have the same fields). Functions are stateless.
#pragma once

#include <cstdint>
#include <string>

namespace paring::serve::wire {

// What was not taken, though the request was.
struct OtlpRejected {
  std::int64_t count = 0;
  std::string reason;
};
std::string otlp_answer(const OtlpRejected& rejected);
std::string otlp_json_answer(const OtlpRejected& rejected, bool is_of_spans);

}  // namespace paring::serve::wire
