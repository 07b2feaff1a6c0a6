// SPDX-License-Identifier: Apache-2.0
#include "serve/wire/otlp_answer.h"

#include "serve/wire/detail/json_text.h"

namespace paring::serve::wire {

namespace {

void append_varint(std::string& out, std::uint64_t value) {
  constexpr std::uint64_t kMore = 0x80;
  for (; value >= kMore; value >>= 7) out += static_cast<char>((value & (kMore - 1)) | kMore);
  out += static_cast<char>(value);
}

}  // namespace

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
