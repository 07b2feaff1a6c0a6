// SPDX-License-Identifier: Apache-2.0
// Requests to other servers, many at a time, over libcurl's multi interface: one thread waits for
// all of them and tells their sinks what comes as it comes. Connections are kept for the next
// request to the same server. No redirect is followed. Thread-safe.
//
//   PARING_TRY(const auto client, net::UpstreamClient::start({}));
//   client->send(client->new_id(), {.method = "POST", .url = url, .body = body}, sink);
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "net/http_message.h"

namespace paring::net {

struct UpstreamRequest {
  std::string method;
  std::string url;  // http or https
  // All that is sent beside Host, Content-Length and Connection.
  std::vector<HttpHeader> headers{};
  std::string body{};
};

// Why an answer did not come to its end.
enum class UpstreamFailure : std::uint8_t {
  kConnect,    // no such host, nobody listens
  kTls,        // no encrypted connection, or not with whom it should be
  kTimeout,    // no connection in time, or no byte for too long
  kCut,        // the connection broke
  kMalformed,  // what came is no HTTP
  kCancelled,  // by cancel(), the sink, or the end of the client
};
const char* upstream_failure_name(UpstreamFailure failure) noexcept;

struct UpstreamEnd {
  std::optional<UpstreamFailure> failure;  // absent: all of the answer has come
  std::string detail;                      // for the log
};

// Hears of one request, on the client's thread: the head, pieces of the body, the end. Must not
// block.
class UpstreamSink {
 public:
  enum class Wish : std::uint8_t {
    kMore,
    kWait,  // the same bytes again after resume(); nothing was taken
    kStop,  // no more: on_end() follows with kCancelled
  };
  virtual ~UpstreamSink() = default;
  // Names in lower case, in the order they came; no interim responses.
  virtual Wish on_head(int status, std::vector<HttpHeader> headers) = 0;
  virtual Wish on_bytes(std::string_view bytes) = 0;
  // Once, and last.
  virtual void on_end(const UpstreamEnd& end) = 0;
};

class UpstreamClient {
 public:
  struct Options {
    double connect_seconds = 10;  // to a connection, TLS included
    double stall_seconds = 300;   // in which nothing comes
    std::size_t connections_kept = 256;
  };
  // Errors of curl_library(); Io.
  static Result<std::unique_ptr<UpstreamClient>> start(const Options& options);
  // Cancels what runs.
  ~UpstreamClient();
  UpstreamClient(const UpstreamClient&) = delete;
  UpstreamClient& operator=(const UpstreamClient&) = delete;

  // A number for send(), known before anything is heard of the request.
  std::uint64_t new_id();
  void send(std::uint64_t id, UpstreamRequest request, std::shared_ptr<UpstreamSink> sink);
  // Nothing for one that has ended.
  void cancel(std::uint64_t id);
  void resume(std::uint64_t id);

 private:
  class Loop;
  explicit UpstreamClient(std::unique_ptr<Loop> loop);
  std::unique_ptr<Loop> loop_;
};

}  // namespace paring::net
