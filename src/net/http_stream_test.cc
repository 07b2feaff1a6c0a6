// SPDX-License-Identifier: Apache-2.0
// Bodies that are read, and answers that are written, piece by piece: neither side holds the whole.
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "net/http_server.h"
#include "net/server_for_test.h"

namespace paring::net {
namespace {

using std::chrono::milliseconds;

// What one read of a socket may bring beyond the bytes that wait.
constexpr std::size_t kReadAhead = std::size_t{128} << 10;

std::string post(const std::string& body) {
  return "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " + std::to_string(body.size()) +
         "\r\n\r\n" + body;
}

// Takes bodies up to `bytes_max` as streams.
std::variant<BodyLimit, HttpResponse> streamed(std::size_t bytes_max) {
  return BodyLimit{.bytes = bytes_max, .is_streamed = true};
}

// Reads all of a body, then says how long it was and its last letter.
void read_and_count(const std::shared_ptr<Exchange>& exchange, std::size_t bytes = 0,
                    char last = '-') {
  exchange->read_body([exchange, bytes, last](const std::string& piece) {
    EXPECT_LE(piece.size(), kStreamedBytesMax + kReadAhead);
    if (!piece.empty()) return read_and_count(exchange, bytes + piece.size(), piece.back());
    exchange->respond({.body = std::to_string(bytes) + last});
  });
}

TEST(HttpStream, AStreamedBodyIsReadPieceByPiece) {
  TestServer server({.body_bytes_max = 1000, .body_memory_max = std::size_t{1} << 20});
  server.handler.on_any_head = [](const HttpHead&) { return streamed(std::size_t{8} << 20); };
  server.handler.on_exchange = [](const auto& exchange) { read_and_count(exchange); };
  TestClient client(server.port());
  for (const std::size_t bytes : {std::size_t{1}, std::size_t{70'000}, std::size_t{8} << 20}) {
    client.send(post(std::string(bytes - 1, 'x') + 'y'));
    EXPECT_EQ(client.read_response().body, std::to_string(bytes) + 'y');
  }
  client.send(post(""));
  EXPECT_EQ(client.read_response().body, "0-");
  client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel");
  std::this_thread::sleep_for(milliseconds(5));
  client.send("lo\r\n1\r\n!\r\n0\r\n\r\n");
  EXPECT_EQ(client.read_response().body, "6!");
  client.send(post(std::string((8 << 20) + 1, 'x')));
  EXPECT_EQ(client.read_response().status, 413);
}

TEST(HttpStream, AClientWaitsWhileNobodyReadsItsBody) {
  TestServer server;
  server.handler.on_any_head = [](const HttpHead&) { return streamed(std::size_t{64} << 20); };
  std::shared_ptr<Exchange> held;
  Signal arrived;
  server.handler.on_exchange = [&](const auto& exchange) {
    held = exchange;
    arrived.set();
  };
  TestClient client(server.port());
  std::thread sender([&] { client.send(post(std::string(std::size_t{32} << 20, 'x'))); });
  ASSERT_TRUE(arrived.wait());
  std::this_thread::sleep_for(milliseconds(50));
  // What the server holds is what it read ahead and what a piece may be.
  Signal first;
  held->read_body([&](const std::string& piece) {
    EXPECT_LE(piece.size(), kStreamedBytesMax + kReadAhead);
    first.set();
  });
  ASSERT_TRUE(first.wait());
  read_and_count(std::exchange(held, nullptr));
  sender.join();
  EXPECT_EQ(client.read_response().status, 200);
}

TEST(HttpStream, AStreamedBodyMayBeAnsweredBeforeItsEnd) {
  TestServer server;
  server.handler.on_any_head = [](const HttpHead&) { return streamed(std::size_t{64} << 20); };
  server.handler.on_exchange = [](const std::shared_ptr<Exchange>& exchange) {
    exchange->read_body(
        [exchange](const std::string&) { exchange->respond({.status = 400, .body = "enough"}); });
  };
  TestClient client(server.port());
  client.send(post(std::string(std::size_t{4} << 20, 'x')));
  const TestResponse response = client.read_response();
  EXPECT_EQ(response.status, 400);
  EXPECT_EQ(response.body, "enough");
  EXPECT_EQ(client.read_all(), "");
  EXPECT_TRUE(client.ended());
}

TEST(HttpStream, AStreamedBodyThatBreaksOffIsTold) {
  for (const bool resets : {false, true}) {
    TestServer server;
    server.handler.on_any_head = [](const HttpHead&) { return streamed(1000); };
    Signal gone;
    Signal read;
    server.handler.on_exchange = [&](const std::shared_ptr<Exchange>& exchange) {
      exchange->on_gone([&] { gone.set(); });
      exchange->read_body([exchange, &read](const std::string& piece) {
        EXPECT_EQ(piece, "hel");
        read.set();
        exchange->read_body([exchange](const std::string&) { ADD_FAILURE() << "more came"; });
      });
    };
    TestClient client(server.port());
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel");
    ASSERT_TRUE(read.wait());
    resets ? client.reset() : client.shutdown_sending();
    EXPECT_TRUE(gone.wait());
  }
}

TEST(HttpStream, AStreamedChunkedBodyThatIsTooLongIsRefusedByTheServer) {
  TestServer server;
  server.handler.on_any_head = [](const HttpHead&) { return streamed(4); };
  Signal gone;
  server.handler.on_exchange = [&](const std::shared_ptr<Exchange>& exchange) {
    exchange->on_gone([&] { gone.set(); });
    exchange->read_body([exchange](const std::string&) {
      exchange->read_body([exchange](const std::string&) {
        EXPECT_FALSE(exchange->respond({.body = "too late"}));
      });
    });
  };
  TestClient client(server.port());
  client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n");
  std::this_thread::sleep_for(milliseconds(20));
  client.send("2\r\nlo\r\n0\r\n\r\n");
  EXPECT_EQ(client.read_response().status, 413);
  EXPECT_TRUE(gone.wait());
}

TEST(HttpStream, ALongStreamIsWrittenAsTheClientReadsIt) {
  TestServer server({.stream_buffer_bytes = 100'000});
  struct Sender : std::enable_shared_from_this<Sender> {
    std::shared_ptr<Exchange> exchange;
    int left = 200;
    void send() {
      if (left-- == 0) return exchange->end_stream();
      EXPECT_TRUE(exchange->write(std::string(90'000, 'x')));
      exchange->on_sent([self = shared_from_this()] { self->send(); });
    }
  };
  server.handler.on_exchange = [](const std::shared_ptr<Exchange>& exchange) {
    exchange->begin_stream(200, "text/plain");
    const auto sender = std::make_shared<Sender>();
    sender->exchange = exchange;
    sender->send();
  };
  TestClient client(server.port());
  client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  std::this_thread::sleep_for(milliseconds(50));
  EXPECT_EQ(client.read_response().body.size(), 200U * 90'000);
}

TEST(HttpServer, QuickRequestsAreAnsweredWhileEveryThreadIsAtWork) {
  Signal is_busy;
  Signal is_over;
  TestServer server({.workers = 1});
  server.handler.on_any_head = [](const HttpHead& head) -> std::variant<BodyLimit, HttpResponse> {
    return BodyLimit{.is_quick = head.path == "/quick"};
  };
  server.handler.on_exchange = [&](const std::shared_ptr<Exchange>& exchange) {
    const bool is_quick = exchange->head().path == "/quick";
    if (!is_quick) {
      is_busy.set();
      EXPECT_TRUE(is_over.wait());
    }
    exchange->respond({.body = is_quick ? "alive" : "done"});
  };
  TestClient slow(server.port());
  slow.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
  ASSERT_TRUE(is_busy.wait());
  TestClient quick(server.port());
  for (int i = 0; i < 3; ++i) {
    quick.send("GET /quick HTTP/1.1\r\nHost: a\r\n\r\n");
    EXPECT_EQ(quick.read_response().body, "alive");
  }
  is_over.set();
  EXPECT_EQ(slow.read_response().body, "done");
}

}  // namespace
}  // namespace paring::net
