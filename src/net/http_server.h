// SPDX-License-Identifier: Apache-2.0
// An HTTP/1.1 server (RFC 9110, 9112) for many slow responses at a time: one thread does all input
// and output, a small pool runs the handlers, and whoever holds an Exchange answers from any
// thread, now or minutes later. What a route means, who may use it and the bodies of errors are the
// handler's business.
//
//   struct Echo final : net::RequestHandler { ... };
//   PARING_TRY(const auto server, net::HttpServer::start({.port = 8000}, handler));
//
// Refused before a handler sees it: anything that two parsers could read in two ways (RFC 9112,
// section 11), with 400 and an end of the connection; what is over a limit of HttpServerOptions.
//
// A client that is gone. A connection that is reset, or closed on both sides, is noticed within
// milliseconds, whether or not something is being written: a read is always pending. A client that
// only ends its sending side (TCP FIN) may still want its answer; the two cases look alike until
// something is sent. So the server then sends the first byte of the response's head, or a leading
// zero of the next chunk's size (both are part of what it will send in any case): a client that is
// gone answers with RST, one that listens does not notice. docs/adr/0028-http-server.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "net/http_message.h"

namespace paring::net {

namespace detail {
class ServerCore;
}  // namespace detail

// One request and its response, as those see it who answer: over a socket, or whatever else brings
// a request (a line of a batch). Thread-safe, except body(), which is for one thread at a time. An
// Exchange that is dropped unanswered answers 500, or cuts its stream: nobody waits for ever.
class Exchange {
 public:
  virtual ~Exchange() = default;

  virtual const HttpHead& head() const noexcept = 0;
  virtual std::string& body() noexcept = 0;
  // Frees the body and gives its bytes back to body_memory_max, before the exchange ends.
  virtual void release_body() noexcept = 0;

  // The next piece of the body, once; an empty one is its end. For bodies that are streamed (see
  // BodyLimit), which may be answered before their end; others come as one piece. `callback` is
  // called on the I/O thread or at once and here, and must not block. While nobody asks, the client
  // is made to wait. A body that does not come to its end calls on_gone. One call at a time.
  virtual void read_body(std::function<void(std::string)> callback) = 0;

  // Of these two, one, once. False when the client is gone or there has been an answer: nothing is
  // sent. A stream to HTTP/1.1 is chunked; to HTTP/1.0 it ends with the connection.
  virtual bool respond(HttpResponse response) = 0;
  virtual bool begin_stream(int status, std::string content_type,
                            std::vector<HttpHeader> headers = {}) = 0;

  // Queues bytes of the stream; never blocks. False: the client is gone, the stream has ended, or
  // more than stream_buffer_bytes are unsent: then the connection is cut and on_gone follows.
  // Bytes that are written on the I/O thread (HttpServer::post) leave together, when the thread is
  // done with what was posted. Empty bytes are allowed and send nothing. Answers to HEAD take bytes
  // and send none.
  virtual bool write(std::string bytes) = 0;
  virtual void end_stream() = 0;
  // Called once when all bytes of the stream that were written before are handed to the system: on
  // the I/O thread, or at once and here. Must not block. Dropped when the client is gone. Who has
  // much to send writes the next piece then, and holds no more than one in memory.
  virtual void on_sent(std::function<void()> callback) = 0;
  // Cuts the connection without a proper end. on_gone is not called.
  virtual void cut() = 0;

  // Called once if the client leaves, or the server cuts it, before respond() or end_stream(): on
  // the I/O thread, or at once and here when that has happened already. Must not block. Replaces
  // what was set before. It is dropped when the exchange is answered.
  virtual void on_gone(std::function<void()> callback) = 0;
  virtual bool is_gone() const noexcept = 0;
};

// How many bytes of body a request may bring.
struct BodyLimit {
  std::size_t bytes = 0;
  // The handler gets the request when its head is there, and reads the body with
  // Exchange::read_body(). Then `bytes` alone limits it, not body_bytes_max; of memory it takes
  // kStreamedBytesMax.
  bool is_streamed = false;
  // on_request() is called on the I/O thread and must keep to what on_head() keeps to. For probes,
  // which are to be answered however long the threads of the pool are at work.
  bool is_quick = false;
  // Bodies with "content-encoding: gzip" are taken too, as they came: see gunzip(). Others with a
  // coding are 415.
  bool takes_gzip = false;
};
// Bytes of a streamed body that wait to be read.
inline constexpr std::size_t kStreamedBytesMax = std::size_t{256} << 10;

// How a request ended, as far as the server saw it.
struct RequestEnd {
  int status = 0;  // of the answer; 0: none was begun
  // All of the answer went to the system. False: the client left or was cut off before.
  bool is_complete = false;
};

class RequestHandler {
 public:
  virtual ~RequestHandler() = default;

  // After the head, before the body is read: what the body may be, or the answer at once. On the
  // I/O thread: must not block nor take long (a look-up, a hash).
  virtual std::variant<BodyLimit, HttpResponse> on_head(const HttpHead& head) = 0;
  // The complete request. On a thread of the pool: may compute and block for tens of milliseconds.
  // On the I/O thread where BodyLimit::is_quick said so.
  // What it throws is logged and answered with 500.
  virtual void on_request(std::shared_ptr<Exchange> exchange) = 0;
  // The server's own errors in the format of the wire. `head` is null when it could not be read.
  // `code` is a word such as "request_timeout". On any thread. The status stays what it is; headers
  // that the server needs (Retry-After, Accept-Encoding) are added.
  virtual HttpResponse error(const HttpHead* head, int status, std::string_view code,
                             std::string_view message) = 0;
  // Nothing more is sent for a request. Once for each head that on_head was given, on the I/O
  // thread; who holds the Exchange may still be at work. Must not block.
  virtual void on_end(const HttpHead& /*head*/, const RequestEnd& /*end*/) {}
};

struct HttpServerOptions {
  // An IPv4 or IPv6 address, a host name, or "unix:/path" (then `port` means nothing). "::" takes
  // IPv4 too.
  std::string address = "127.0.0.1";
  std::uint16_t port = 0;  // 0: any that is free, see HttpServer::port()

  // PEM files; with both the server speaks TLS 1.2 and 1.3 and nothing else. See reload_tls().
  std::string tls_certificate_file{};
  std::string tls_key_file{};
  // Proxies that are believed when they say for whom they ask: addresses or networks such as
  // "10.0.0.0/8". HttpHead::remote_address is then the last address in X-Forwarded-For that is not
  // one of them. From all others that header is nothing but a header.
  std::vector<std::string> trusted_proxies{};

  // Open at a time; no more than the process may have descriptors for. One more ends the connection
  // that has been idle longest, or is turned away with 503 when none is idle.
  std::size_t connections_max = 4096;
  // 429 beyond, but for trusted proxies; 0: no limit.
  std::size_t connections_per_address_max = 0;
  std::size_t requests_per_connection_max = 0;         // the last one ends it; 0: no limit
  std::size_t header_bytes_max = 32768;                // of a whole head: 431
  std::size_t headers_max = 100;                       // their number: 431
  std::size_t target_bytes_max = 8192;                 // 414
  std::size_t body_bytes_max = std::size_t{64} << 20;  // whatever on_head allows: 413
  // All bodies in memory together, and half of it (at least one body) those of one address: 503.
  // Counted as bytes come.
  std::size_t body_memory_max = std::size_t{512} << 20;
  double header_seconds = 10;  // from the first byte of a head (or the connection) to its end: 408
  // From the head to the end of the body: 408. So long again for each body_bytes_max of a streamed
  // body, and the time in which nobody read it does not count.
  double body_seconds = 300;
  // A body that comes slower than this on average, looked at after 5 seconds, is given up: 408.
  std::size_t body_bytes_per_second_min = 1024;
  double idle_seconds = 75;   // between two requests of a connection
  double write_seconds = 30;  // that a client may take none of the bytes it is sent
  std::size_t stream_buffer_bytes = std::size_t{1} << 20;  // unsent bytes of one stream

  std::size_t workers = 2;                // threads for on_request
  std::size_t worker_stack_bytes = 0;     // of each; 0: the system's size
  std::size_t queued_requests_max = 256;  // that wait for one: 503
};

class HttpServer {
 public:
  // Listens and serves from here on. InvalidArgument: options that contradict each other, an
  // address that is none, TLS files that do not fit; NotFound: no such files. Unavailable: the
  // address is taken or not this machine's. `handler` must outlive the server.
  static Result<std::unique_ptr<HttpServer>> start(const HttpServerOptions& options,
                                                   RequestHandler& handler);
  // stop(0).
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  // Reads the TLS files again, for new connections; on an error the old ones stay. InvalidArgument
  // without TLS. Thread-safe.
  Result<void> reload_tls();

  std::uint16_t port() const noexcept;  // 0 for a unix socket
  // "http://127.0.0.1:8000", "https://[::1]:8000", "unix:/path".
  std::string url() const;

  // Runs `task` on the I/O thread, after what was posted before. Must not block. After stop() it is
  // dropped. Thread-safe.
  void post(std::function<void()> task);

  // A drain begins: closes the listening socket and idle connections, and each response from now on
  // is the last of its connection. Thread-safe.
  void stop_accepting();
  // Waits up to `grace_seconds` until all requests are answered and sent, cuts the rest (on_gone),
  // joins the threads. Returns how many were cut. Not from a handler or the I/O thread.
  std::size_t stop(double grace_seconds);

  std::size_t open_connections() const noexcept;
  // Handed to the handler and not yet answered and sent.
  std::size_t active_requests() const noexcept;

 private:
  explicit HttpServer(std::shared_ptr<detail::ServerCore> core);
  std::shared_ptr<detail::ServerCore> core_;
};

}  // namespace paring::net
