// SPDX-License-Identifier: Apache-2.0
// For tests: a server with a handler made of functions, and a client that sends
// what it is told, byte for byte.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <variant>

#include "base/text.h"
#include "net/http_server.h"

namespace paring::net {

// Set once, waited for by others.
class Signal {
 public:
  void set() {
    const std::lock_guard lock(mutex_);
    is_set_ = true;
    changed_.notify_all();
  }
  // False after 5 seconds.
  bool wait() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(5), [&] { return is_set_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool is_set_ = false;
};

// Echoes bodies, unless told otherwise. Errors are "code: message".
class TestHandler final : public RequestHandler {
 public:
  std::variant<BodyLimit, HttpResponse> on_head(const HttpHead& head) override {
    if (on_any_head) return on_any_head(head);
    return BodyLimit{body_bytes_max};
  }
  void on_request(std::shared_ptr<Exchange> exchange) override {
    if (on_exchange) return on_exchange(exchange);
    std::string body = std::move(exchange->body());
    exchange->respond({.content_type = "text/plain", .body = std::move(body)});
  }
  HttpResponse error(const HttpHead*, int status, std::string_view code,
                     std::string_view message) override {
    return {.status = status,
            .content_type = "text/plain",
            .body = std::string(code) + ": " + std::string(message)};
  }
  void on_end(const HttpHead& head, const RequestEnd& end) override {
    const std::lock_guard lock(ends_mutex);
    ends.push_back(head.path + ' ' + std::to_string(end.status) + (end.is_complete ? "" : " cut"));
  }
  // "/path 200", "/path 0 cut", in the order of ends.
  std::vector<std::string> ended() {
    const std::lock_guard lock(ends_mutex);
    return ends;
  }

  std::mutex ends_mutex;
  std::vector<std::string> ends;
  std::size_t body_bytes_max = std::size_t{1} << 20;
  std::function<std::variant<BodyLimit, HttpResponse>(const HttpHead&)> on_any_head;
  std::function<void(const std::shared_ptr<Exchange>&)> on_exchange;
};

struct TestResponse {
  int status = 0;                              // 0: none came
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
};

// Blocking; gives up after 5 seconds.
class TestClient {
 public:
  explicit TestClient(std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connect(reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  }
  TestClient(const sockaddr* address, socklen_t bytes) { connect(address, bytes); }
  ~TestClient() { close(); }
  TestClient(TestClient&& other) noexcept
      : descriptor_(std::exchange(other.descriptor_, -1)),
        is_connected_(other.is_connected_),
        has_ended_(other.has_ended_),
        buffered_(std::move(other.buffered_)) {}
  TestClient& operator=(TestClient&&) = delete;

  bool is_connected() const { return is_connected_; }
  int descriptor() const { return descriptor_; }

  // False when the connection is gone.
  bool send(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }
  void shutdown_sending() const { ::shutdown(descriptor_, SHUT_WR); }
  void close() {
    if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
  }
  // Closes with RST.
  void reset() {
    const linger at_once{1, 0};
    ::setsockopt(descriptor_, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    close();
  }

  // What comes next; empty at the end or when the time is up.
  std::string read_some() {
    if (!buffered_.empty()) return std::exchange(buffered_, {});
    std::string piece(65536, '\0');
    const ssize_t bytes = ::recv(descriptor_, piece.data(), piece.size(), 0);
    has_ended_ = has_ended_ || bytes == 0 || (bytes < 0 && errno == ECONNRESET);
    piece.resize(bytes > 0 ? static_cast<std::size_t>(bytes) : 0);
    return piece;
  }
  // What comes until the server closes, or the time is up (then ended() is
  // false).
  std::string read_all() {
    std::string all;
    for (std::string piece = read_some(); !piece.empty(); piece = read_some()) all += piece;
    return all;
  }
  bool ended() const { return has_ended_; }
  // Whether something has come that was not read.
  bool read_waiting() const {
    pollfd state{descriptor_, POLLIN, 0};
    return ::poll(&state, 1, 0) > 0;
  }

  // One response with Content-Length or chunks; interim ones are skipped.
  TestResponse read_response(bool is_head = false) {
    TestResponse response;
    std::string head;
    do {
      response = {};
      if (!read_until("\r\n\r\n", &head)) return response;
      parse(head, &response);
    } while (response.status / 100 == 1);
    if (is_head) return response;
    if (response.headers.contains("transfer-encoding")) {
      std::string line;
      while (read_until("\r\n", &line)) {
        const std::size_t bytes = number(line, 16);
        std::string chunk;
        if (!read_bytes(bytes + 2, &chunk)) break;
        response.body += chunk.substr(0, bytes);
        if (bytes == 0) return response;
      }
      response.status = 0;  // cut
    } else if (response.headers.contains("content-length")) {
      const std::size_t bytes = number(response.headers["content-length"], 10);
      if (!read_bytes(bytes, &response.body)) response.status = 0;
    }
    return response;
  }

 private:
  void connect(const sockaddr* address, socklen_t bytes) {
    descriptor_ = ::socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const timeval limit{5, 0};
    const int on = 1;
    ::setsockopt(descriptor_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    ::setsockopt(descriptor_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    if (address->sa_family != AF_UNIX) {
      ::setsockopt(descriptor_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    }
    is_connected_ = ::connect(descriptor_, address, bytes) == 0;
  }
  static std::size_t number(const std::string& text, int base) {
    std::size_t value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value, base);
    return value;
  }
  static void parse(const std::string& head, TestResponse* response) {
    if (head.size() > 12) response->status = static_cast<int>(number(head.substr(9, 3), 10));
    std::size_t at = head.find("\r\n");
    while (at + 4 < head.size()) {
      const std::size_t end = head.find("\r\n", at + 2);
      const std::string line = head.substr(at + 2, end - at - 2);
      const std::size_t colon = line.find(": ");
      response->headers[ascii_lower(line.substr(0, colon))] = line.substr(colon + 2);
      at = end;
    }
  }
  bool fill() {
    std::string more = std::exchange(buffered_, {});
    const std::string piece = read_some();
    buffered_ = more + piece;
    return !piece.empty();
  }
  bool read_until(std::string_view end, std::string* text) {
    std::size_t at = 0;
    while ((at = buffered_.find(end)) == std::string::npos) {
      if (!fill()) return false;
    }
    *text = buffered_.substr(0, at + end.size());
    buffered_.erase(0, at + end.size());
    return true;
  }
  bool read_bytes(std::size_t bytes, std::string* text) {
    while (buffered_.size() < bytes) {
      if (!fill()) return false;
    }
    *text = buffered_.substr(0, bytes);
    buffered_.erase(0, bytes);
    return true;
  }

  int descriptor_ = -1;
  bool is_connected_ = false;
  bool has_ended_ = false;
  std::string buffered_;
};

class TestServer {
 public:
  explicit TestServer(const HttpServerOptions& options = {}) {
    auto started = HttpServer::start(options, handler);
    EXPECT_TRUE(started) << started.error().text();
    server_ = std::move(started).value();
  }
  HttpServer* operator->() const { return server_.get(); }
  std::uint16_t port() const { return server_->port(); }
  // All that comes back for these bytes on a new connection.
  std::string ask(std::string_view bytes) const {
    TestClient client(port());
    client.send(bytes);
    return client.read_all();
  }
  // Whether it is true within 5 seconds.
  static bool becomes(const std::function<bool()>& is_true) {
    for (int i = 0; i < 10'000; ++i) {
      if (is_true()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return false;
  }

  TestHandler handler;  // before the server, which it outlives

 private:
  std::unique_ptr<HttpServer> server_;
};

}  // namespace paring::net
