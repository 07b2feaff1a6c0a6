// SPDX-License-Identifier: Apache-2.0
// Heads of responses and chunks as bytes (RFC 9112, 4 and 7.1).
#pragma once

#include <string>
#include <string_view>

#include "net/http_message.h"

namespace paring::net::detail {

enum class BodyFraming {
  kLength,   // Content-Length: response.body.size()
  kChunked,  // Transfer-Encoding: chunked
  kToEnd,    // ends with the connection (HTTP/1.0)
};

struct HeadFacts {
  BodyFraming framing = BodyFraming::kLength;
  int request_version = 11;
  bool is_keep_alive = false;
};

// Status line, headers, empty line. `date` is an HTTP date. Begins with kHeadBegin.
std::string response_head(const HttpResponse& response, const HeadFacts& facts,
                          std::string_view date);
inline constexpr std::string_view kHeadBegin = "HTTP/1.1 ";

// Appends one chunk. REQUIRES: not empty.
void append_chunk(std::string_view bytes, std::string* out);
inline constexpr std::string_view kLastChunk = "0\r\n\r\n";

// "Sun, 22 Nov 2026 19:35:21 GMT", for seconds since 1970.
std::string http_date(double wall_seconds);

}  // namespace paring::net::detail
