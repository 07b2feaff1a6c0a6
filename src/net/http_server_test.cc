// SPDX-License-Identifier: Apache-2.0
#include "net/http_server.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "net/server_for_test.h"

namespace paring::net {
namespace {

using std::chrono::milliseconds;

TEST(HttpServer, AnswersARequestWithABody) {
  TestServer server;
  const std::string answer = server.ask(
      "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello");
  EXPECT_EQ(answer.substr(0, 17), "HTTP/1.1 200 OK\r\n");
  EXPECT_NE(answer.find("\r\nContent-Length: 5\r\n"), std::string::npos) << answer;
  EXPECT_TRUE(answer.ends_with("\r\n\r\nhello")) << answer;
}

TEST(HttpServer, ServesRequestAfterRequestOnOneConnection) {
  TestServer server;
  TestClient client(server.port());
  for (int i = 0; i < 3; ++i) {
    const std::string body = "round " + std::to_string(i);
    client.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: " + std::to_string(body.size()) +
                "\r\n\r\n" + body);
    EXPECT_EQ(client.read_response().body, body);
  }
  EXPECT_EQ(server->open_connections(), 1U);
}

TEST(HttpServer, StreamsInChunks) {
  TestServer server;
  server.handler.on_exchange = [](const std::shared_ptr<Exchange>& exchange) {
    EXPECT_TRUE(exchange->begin_stream(200, "text/event-stream"));
    EXPECT_TRUE(exchange->write("data: 1\n\n"));
    std::this_thread::sleep_for(milliseconds(20));
    EXPECT_TRUE(exchange->write("data: 2\n\n"));
    exchange->end_stream();
  };
  const std::string answer = server.ask("GET /s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  EXPECT_TRUE(answer.ends_with("\r\n\r\n9\r\ndata: 1\n\n\r\n9\r\ndata: 2\n\n\r\n0\r\n\r\n"))
      << answer;
}

TEST(HttpServer, AClientThatClosesIsNoticedWhileNothingIsWritten) {
  TestServer server;
  Signal has_begun;
  Signal is_gone;
  std::shared_ptr<Exchange> kept;
  server.handler.on_exchange = [&](const std::shared_ptr<Exchange>& exchange) {
    kept = exchange;
    exchange->on_gone([&] { is_gone.set(); });
    has_begun.set();
  };
  TestClient client(server.port());
  client.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
  ASSERT_TRUE(has_begun.wait());
  client.close();
  ASSERT_TRUE(is_gone.wait());
  EXPECT_FALSE(kept->respond({}));
  EXPECT_TRUE(server.becomes([&] { return server->open_connections() == 0; }));
  EXPECT_EQ(server->active_requests(), 0U);
}

TEST(HttpServer, AClientThatOnlyStopsSendingGetsItsAnswer) {
  TestServer server;
  std::atomic<bool> was_gone = false;
  server.handler.on_exchange = [&](const std::shared_ptr<Exchange>& exchange) {
    exchange->on_gone([&] { was_gone = true; });
    std::this_thread::sleep_for(milliseconds(50));
    exchange->respond({.status = 200, .content_type = "text/plain", .body = "late"});
  };
  TestClient client(server.port());
  client.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
  client.shutdown_sending();
  const std::string answer = client.read_all();
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 OK\r\n")) << answer;
  EXPECT_TRUE(answer.ends_with("\r\n\r\nlate")) << answer;
  EXPECT_FALSE(was_gone);
}

}  // namespace
}  // namespace paring::net
