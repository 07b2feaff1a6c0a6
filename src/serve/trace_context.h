// SPDX-License-Identifier: Apache-2.0
// W3C Trace Context: which trace of a distributed system a request belongs to. A request that names
// none, or names one in a way that is none, begins a trace of its own (section 4.2 of Level 2).
// Stateless.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "net/http_message.h"

namespace paring::serve {

struct TraceContext {
  std::string trace_id;   // 32 lower-case hexadecimal digits
  std::string parent_id;  // 16, of the caller's span; empty: the trace begins here
  std::string span_id;    // 16, of this request's span
  std::uint8_t flags = 0;

  // The value of a traceresponse header: the trace, and our span as the child of the caller's.
  std::string response_header() const;
};

inline constexpr std::uint8_t kTraceSampled = 1;  // the caller records the trace
inline constexpr std::uint8_t kTraceRandom = 2;   // at least 56 bits of the trace id are random

// What a traceparent header says; nullopt where it does not keep to section 3.2: capital letters,
// zeros, version ff, a length that is not its version's. Later versions are read as version 00, as
// far as that goes. span_id is empty.
std::optional<TraceContext> parse_traceparent(std::string_view value);

// The trace of a request, with a span id of its own. Flags that this version does not know are
// dropped. Two traceparent headers count as none.
TraceContext trace_of(const net::HttpHead& head);

// So many lower-case hexadecimal digits, never all zero. Unique, not secret. Thread-safe.
std::string random_hex(std::size_t digits);

}  // namespace paring::serve
