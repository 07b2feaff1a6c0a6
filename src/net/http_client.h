// SPDX-License-Identifier: Apache-2.0
// HTTP GET over libcurl (RFC 9110). Follows redirects to http and https, never from https down to
// http. A client keeps its connections open between requests; it belongs to one thread.
//
//   PARING_TRY(net::HttpClient client, net::HttpClient::create());
//   PARING_TRY(const net::HttpClientResponse response, client.get({.url = url}, sink));
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>

#include "base/result.h"

namespace paring::net {

inline constexpr long kRedirectsMax = 8;
inline constexpr std::size_t kHeaderBytesMax = std::size_t{256} << 10;  // of one response
inline constexpr long kConnectSeconds = 30;
// A transfer that brings less than one byte a second for this long is given up.
inline constexpr long kStallSeconds = 60;

struct HttpClientRequest {
  std::string url;
  // Sent as "Authorization: Bearer" to the URL's host alone: a redirect elsewhere does not get it.
  // REQUIRES: printable ASCII without spaces (see is_token).
  std::string token{};
  std::uint64_t first_byte = 0;  // not 0: asks for the bytes from there on (Range)
  std::uint64_t end_byte = 0;    // not 0: asks for those before this one; a server may send more
  long seconds_max = 0;          // not 0: the whole transfer, redirects included, may take so long
};

struct HttpClientResponse {
  int status = 0;                              // of the last response
  std::map<std::string, std::string> headers;  // of the last response; names in lower case
  std::string url;                             // where the last response came from
};

// Told once the headers of the last response are known, then each piece of its body. An error
// stops the transfer and is what get() returns. The body of a status other than 2xx is not passed
// on.
struct BodySink {
  std::function<Result<void>(const HttpClientResponse&)> on_headers;
  std::function<Result<void>(std::span<const std::byte>)> on_bytes;
};

// Whether a text can be sent as a bearer token.
bool is_token(const std::string& text) noexcept;
// Percent-encodes everything but unreserved characters and '/' (RFC 3986, 2.3).
std::string encode_path(const std::string& path);

class HttpClient {
 public:
  // Unavailable when libcurl is not installed, Internal when it does not start.
  static Result<HttpClient> create();
  ~HttpClient();
  HttpClient(HttpClient&&) noexcept;
  HttpClient& operator=(HttpClient&&) noexcept;

  // Any status is a response, not an error. Unavailable: no connection, a connection that broke,
  // stalled or took too long (trying again may help). InvalidArgument: not an http or https URL.
  // Exhausted: headers beyond kHeaderBytesMax, more than kRedirectsMax redirects.
  Result<HttpClientResponse> get(const HttpClientRequest& request, const BodySink& sink);
  // A whole small body of a 2xx response; Exhausted beyond `bytes_max`.
  Result<HttpClientResponse> get_text(const HttpClientRequest& request, std::size_t bytes_max,
                                      std::string* body);

 private:
  struct State;
  explicit HttpClient(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace paring::net
