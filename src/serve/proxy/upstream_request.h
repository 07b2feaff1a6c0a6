// SPDX-License-Identifier: Apache-2.0
// What a proxy sends on, and what of an answer it hands back: everything but what belongs to one
// connection (RFC 9110, 7.6.1) or is the proxy's own. Pure functions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "net/http_message.h"
#include "serve/trace_context.h"

namespace paring::serve {

// "https://host[:port][/path]", without a '/' at its end. InvalidArgument for anything else, for
// user names, queries and fragments.
Result<std::string> parse_upstream(std::string_view url);

// The address of a request at the upstream server. One "/v1" is enough: where the upstream's
// address ends with it, a path that begins with it goes without.
std::string upstream_url(const std::string& upstream, const net::HttpHead& head);

struct UpstreamKey {
  bool drops_callers = false;  // the caller's key is one of ours, and nobody else's business
  std::string own;             // sent in its place; empty: none
};
// Without what must be plain for the answer to be read (Accept-Encoding).
std::vector<net::HttpHeader> upstream_headers(const net::HttpHead& head, const std::string& id,
                                              const TraceContext& trace, const UpstreamKey& key);

struct DownstreamHead {
  std::string content_type;
  std::vector<net::HttpHeader> headers;
  std::size_t length = kNoLength;  // of the body, as announced
  static constexpr std::size_t kNoLength = static_cast<std::size_t>(-1);
};
// `headers` of the upstream's answer; `own` are set in the place of its own of those names. Its
// x-request-id goes on as x-upstream-request-id.
DownstreamHead downstream_head(std::vector<net::HttpHeader> headers,
                               std::vector<net::HttpHeader> own);

}  // namespace paring::serve
