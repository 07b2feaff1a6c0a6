// SPDX-License-Identifier: Apache-2.0
// What a server reads and answers: the head of a request, checked and decoded, and a whole
// response. Plain values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace paring::net {

struct HttpHeader {
  std::string name;  // in lower case when it comes from a client
  std::string value;
};

// A head that got this far keeps to RFC 9110 and 9112, strictly: what two parsers could read in two
// ways (folded lines, bare line feeds, a body with two lengths, dot segments, ...) was refused.
struct HttpHead {
  std::string method;  // as sent: methods are case-sensitive
  // Percent-decoded, valid UTF-8, begins with '/', without control characters, '\\' and segments
  // "." or "..". "%2F" and "%25" stay encoded, so that a '/' here is always one that separates: it
  // may be compared with routes and shown. "*" for OPTIONS *.
  std::string path;
  // The path's segments, decoded completely: "/v1/models/a%2Fb" gives "v1", "models", "a/b". An
  // empty segment is one between two slashes or behind the last.
  std::vector<std::string> segments;
  // Decoded, '+' is a space, in the order they were sent; a name may occur more than once.
  std::vector<std::pair<std::string, std::string>> query;
  std::vector<HttpHeader> headers;
  std::string remote_address;  // "127.0.0.1", "::1"; "unix" for a unix socket
  bool is_tls = false;
  int version = 11;          // 10 or 11
  std::uint64_t serial = 0;  // of the request in this server, from 1

  // The first header of that name, null without one. REQUIRES: `name` in lower case. Headers that
  // may stand once only (Host, Content-Type, Authorization, ...) do: see http_server.h.
  const std::string* find(std::string_view name) const noexcept;
  // The values of all headers of that name in their order with ", " between them, as a list that
  // was written in several lines is read (RFC 9110, 5.3).
  std::string joined(std::string_view name) const;
  // The first value of a query name, null without one.
  const std::string* find_query(std::string_view name) const noexcept;
};

struct HttpResponse {
  int status = 200;            // 200 to 599
  std::string content_type{};  // may be empty: no header
  // Content-Length, Transfer-Encoding, Connection and Date are the server's own and must not be
  // here. A control character in a value is sent as a space.
  std::vector<HttpHeader> headers{};
  std::string body{};
};

// "Not Found" for 404; "Unknown" for a status without a name.
const char* status_reason(int status) noexcept;

}  // namespace paring::net
