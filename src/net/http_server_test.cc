// SPDX-License-Identifier: Apache-2.0
// What the server does for clients that behave. Those that do not:
// http_attacks_test.cc, http_leaving_test.cc.
#include "net/http_server.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "net/server_for_test.h"

namespace paring::net {
namespace {

using std::chrono::milliseconds;

constexpr const char* kGet = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
constexpr const char* kLastGet = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

std::string post(const std::string& body, const std::string& headers = "") {
  return "POST /echo HTTP/1.1\r\nHost: a\r\n" + headers +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

TEST(HttpServer, AnswersARequestWithABody) {
  TestServer server;
  const std::string answer = server.ask(post("hello", "Connection: close\r\n"));
  EXPECT_EQ(answer.substr(0, 17), "HTTP/1.1 200 OK\r\n");
  EXPECT_NE(answer.find("\r\nContent-Length: 5\r\n"), std::string::npos) << answer;
  EXPECT_NE(answer.find("\r\nDate: "), std::string::npos) << answer;
  EXPECT_NE(answer.find("\r\nConnection: close\r\n"), std::string::npos) << answer;
  EXPECT_TRUE(answer.ends_with("\r\n\r\nhello")) << answer;
}

TEST(HttpServer, ServesRequestAfterRequestOnOneConnection) {
  TestServer server;
  TestClient client(server.port());
  for (int i = 0; i < 3; ++i) {
    const std::string body = "round " + std::to_string(i);
    client.send(post(body));
    EXPECT_EQ(client.read_response().body, body);
  }
  EXPECT_EQ(server->open_connections(), 1U);
  EXPECT_TRUE(server.becomes([&] { return server->active_requests() == 0; }));
}

TEST(HttpServer, TheEndOfEachRequestIsToldOnce) {
  TestServer server;
  server.handler.body_bytes_max = 10;
  server.handler.on_any_head = [](const HttpHead& head) -> std::variant<BodyLimit, HttpResponse> {
    if (head.path == "/early") return HttpResponse{.status = 403};
    return BodyLimit{10};
  };
  std::shared_ptr<Exchange> kept;
  std::atomic<bool> is_kept{false};
  server.handler.on_exchange = [&](const std::shared_ptr<Exchange>& exchange) {
    const std::string path = exchange->head().path;
    if (path == "/dropped") return;
    if (path == "/kept" || path == "/stream") {
      if (path == "/stream") exchange->begin_stream(200, "text/plain");
      kept = exchange;
      is_kept = true;
      return;
    }
    exchange->respond({.status = 204});
  };
  const auto get = [](const std::string& path) {
    return "GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n";
  };
  TestClient client(server.port());
  for (const char* path : {"/early", "/plain", "/dropped"}) {
    client.send(get(path));
    client.read_response();
  }
  client.send(post("more than ten bytes"));  // to /echo, refused by its length
  client.read_response();
  for (const char* path : {"/kept", "/stream"}) {
    TestClient leaves(server.port());
    is_kept = false;
    leaves.send(get(path));
    ASSERT_TRUE(server.becomes([&] { return is_kept.load(); }));
    if (std::string(path) == "/stream") {
      ASSERT_TRUE(kept->write("x"));
      leaves.read_some();
    }
    leaves.reset();
    ASSERT_TRUE(server.becomes([&] { return kept->is_gone(); }));
  }
  kept.reset();
  TestClient(server.port()).send("no request at all\r\n\r\n");
  const std::vector<std::string> expected = {"/early 403", "/plain 204",  "/dropped 500",
                                             "/echo 413",  "/kept 0 cut", "/stream 200 cut"};
  EXPECT_TRUE(server.becomes([&] { return server.handler.ended().size() >= expected.size(); }));
  EXPECT_EQ(server.handler.ended(), expected);
}

TEST(HttpServer, LargeBodiesGoBothWays) {
  TestServer server;
  server.handler.body_bytes_max = std::size_t{16} << 20;
  std::string body(9 << 20, 'x');
  for (std::size_t i = 0; i < body.size(); ++i) body[i] = static_cast<char>('a' + i % 23);
  TestClient client(server.port());
  std::thread sender([&] { client.send(post(body)); });
  sender.join();
  EXPECT_EQ(client.read_response().body, body);
}

TEST(HttpServer, PipelinedRequestsAreAnsweredInOrder) {
  TestServer server;
  TestClient client(server.port());
  std::string all;
  for (int i = 0; i < 50; ++i) all += post(std::to_string(i));
  client.send(all);
  for (int i = 0; i < 50; ++i) EXPECT_EQ(client.read_response().body, std::to_string(i));
}

TEST(HttpServer, ThousandsOfPipelinedRequestsThatNeedNoBodyDoNotFillTheStack) {
  TestServer server;
  server.handler.on_any_head = [](const HttpHead&) { return HttpResponse{.status = 404}; };
  TestClient client(server.port());
  std::string all;
  for (int i = 0; i < 20000; ++i) all += kGet;
  std::thread sender([&] { client.send(all); });
  int answered = 0;
  while (client.read_response().status == 404 && ++answered < 20000) {
  }
  sender.join();
  EXPECT_EQ(answered, 20000);
}

TEST(HttpServer, StreamsInChunks) {
  TestServer server;
  server.handler.on_exchange = [](const std::shared_ptr<Exchange>& exchange) {
    EXPECT_TRUE(exchange->begin_stream(200, "text/event-stream", {{"X-Id", "7"}}));
    EXPECT_TRUE(exchange->write("data: 1\n\n"));
    EXPECT_TRUE(exchange->write(""));
    std::this_thread::sleep_for(milliseconds(20));
    EXPECT_TRUE(exchange->write("data: 2\n\n"));
    exchange->end_stream();
    EXPECT_FALSE(exchange->write("late"));
  };
  const std::string answer = server.ask(kLastGet);
  EXPECT_NE(answer.find("\r\nX-Id: 7\r\n"), std::string::npos);
  EXPECT_TRUE(answer.ends_with("\r\n\r\n9\r\ndata: 1\n\n\r\n9\r\ndata: 2\n\n\r\n0\r\n\r\n"))
      << answer;
}

TEST(HttpServer, WhatIsWrittenOnTheIoThreadLeavesTogether) {
  TestServer server;
  server.handler.on_exchange = [&](const std::shared_ptr<Exchange>& exchange) {
    server->post([exchange] {
      exchange->begin_stream(200, "text/plain");
      for (const char* piece : {"a", "b", "c"}) EXPECT_TRUE(exchange->write(piece));
      exchange->end_stream();
    });
  };
  TestClient client(server.port());
  client.send(kLastGet);
  const std::string answer = client.read_all();
  EXPECT_TRUE(answer.ends_with("\r\n\r\n3\r\nabc\r\n0\r\n\r\n")) << answer;
}

TEST(HttpServer, AStreamToHttp10EndsWithTheConnection) {
  TestServer server;
  server.handler.on_exchange = [](const std::shared_ptr<Exchange>& exchange) {
    exchange->begin_stream(200, "text/plain");
    exchange->write("all of it");
    exchange->end_stream();
  };
  const std::string answer = server.ask("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_EQ(answer.find("chunked"), std::string::npos);
  EXPECT_NE(answer.find("\r\nConnection: close\r\n"), std::string::npos);
  EXPECT_TRUE(answer.ends_with("\r\n\r\nall of it")) << answer;
}

TEST(HttpServer, Http10StaysOpenWhenAsked) {
  TestServer server;
  TestClient client(server.port());
  for (int i = 0; i < 2; ++i) {
    client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    const TestResponse response = client.read_response();
    EXPECT_EQ(response.status, 200);
    EXPECT_EQ(response.headers.at("connection"), "keep-alive");
  }
}

TEST(HttpServer, HeadHasTheHeadersOfGetAndNoBody) {
  TestServer server;
  server.handler.on_exchange = [](const std::shared_ptr<Exchange>& exchange) {
    if (exchange->head().path == "/stream") {
      exchange->begin_stream(200, "text/plain");
      EXPECT_TRUE(exchange->write("unseen"));
      return exchange->end_stream();
    }
    exchange->respond({.content_type = "text/plain", .body = "unseen"});
  };
  TestClient client(server.port());
  client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(client.read_response(true).headers.at("content-length"), "6");
  client.send("HEAD /stream HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(client.read_response(true).headers.at("transfer-encoding"), "chunked");
  client.send(kGet);
  EXPECT_EQ(client.read_response().body, "unseen");
}

TEST(HttpServer, AClientThatExpectsToContinueIsToldTo) {
  TestServer server;
  TestClient client(server.port());
  client.send(
      "POST / HTTP/1.1\r\nHost: a\r\nExpect: "
      "100-continue\r\nContent-Length: 5\r\n\r\n");
  EXPECT_EQ(client.read_some(), "HTTP/1.1 100 Continue\r\n\r\n");
  client.send("hello");
  EXPECT_EQ(client.read_response().body, "hello");
}

TEST(HttpServer, AClientThatExpectsToContinueIsRefusedBeforeItSends) {
  TestServer server;
  server.handler.on_any_head = [](const HttpHead&) {
    return HttpResponse{.status = 401, .body = "no key"};
  };
  TestClient client(server.port());
  client.send(
      "POST / HTTP/1.1\r\nHost: a\r\nExpect: "
      "100-continue\r\nContent-Length: 5\r\n\r\n");
  const std::string answer = client.read_all();
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 401 Unauthorized\r\n")) << answer;
  EXPECT_TRUE(client.ended());  // whether a body follows is not certain
}

TEST(HttpServer, AnEarlyAnswerToASmallBodyKeepsTheConnection) {
  TestServer server;
  server.handler.on_any_head = [](const HttpHead& head) -> std::variant<BodyLimit, HttpResponse> {
    if (head.find("authorization") == nullptr) return HttpResponse{.status = 401};
    return BodyLimit{100};
  };
  TestClient client(server.port());
  client.send(post("GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n"));
  EXPECT_EQ(client.read_response().status, 401);
  client.send(post("hello", "Authorization: x\r\n"));
  EXPECT_EQ(client.read_response().body, "hello");
}

TEST(HttpServer, AClientThatIsStillSendingGetsToReadItsRefusal) {
  TestServer server;
  server.handler.body_bytes_max = 1000;
  TestClient client(server.port());
  const std::string body(20 << 20, 'x');
  client.send(post(body));  // may be cut short
  const TestResponse response = client.read_response();
  EXPECT_EQ(response.status, 413);
  EXPECT_TRUE(response.body.starts_with("body_too_large: the body is larger than 1000 bytes"))
      << response.body;
}

TEST(HttpServer, ReadsChunkedBodies) {
  TestServer server;
  TestClient client(server.port());
  client.send(
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
      "Chunked\r\n\r\n5\r\nhel");
  std::this_thread::sleep_for(milliseconds(5));
  client.send("lo\r\nA;x=\"y\"\r\n 012345678\r\n0\r\nX: y\r\n\r\n");
  EXPECT_EQ(client.read_response().body, "hello 012345678");
}

TEST(HttpServer, TellsWhoAsks) {
  TestServer server;
  HttpHead seen;
  server.handler.on_exchange = [&](const std::shared_ptr<Exchange>& exchange) {
    seen = exchange->head();
    exchange->respond({});
  };
  server.ask(kLastGet);
  EXPECT_EQ(seen.remote_address, "127.0.0.1");
  EXPECT_FALSE(seen.is_tls);
  EXPECT_EQ(seen.serial, 1U);
  server.ask(kLastGet);
  EXPECT_EQ(seen.serial, 2U);
}

TEST(HttpServer, AnAnswerIsGivenOnce) {
  TestServer server;
  server.handler.on_exchange = [](const std::shared_ptr<Exchange>& exchange) {
    EXPECT_FALSE(exchange->write("no stream yet"));
    EXPECT_TRUE(exchange->respond({.body = "first"}));
    EXPECT_FALSE(exchange->respond({.body = "second"}));
    EXPECT_FALSE(exchange->begin_stream(200, "text/plain"));
  };
  EXPECT_TRUE(server.ask(kLastGet).ends_with("\r\n\r\nfirst"));
}

TEST(HttpServer, WhatAHandlerSetsCannotAddHeaders) {
  TestServer server;
  server.handler.on_exchange = [](const std::shared_ptr<Exchange>& exchange) {
    exchange->respond({.content_type = "text/plain\r\nX-A: 1",
                       .headers = {{"X-B", "2\r\nX-C: 3"},
                                   {"X-D\r\nX-E", "4"},
                                   {"Content-Length", "99"},
                                   {"Transfer-Encoding", "chunked"}},
                       .body = "body"});
  };
  TestClient client(server.port());
  client.send(kLastGet);
  const TestResponse response = client.read_response();
  EXPECT_EQ(response.body, "body");
  for (const char* name : {"x-a", "x-c", "x-d", "x-e", "transfer-encoding"}) {
    EXPECT_FALSE(response.headers.contains(name)) << name;
  }
  EXPECT_EQ(response.headers.at("x-b"), "2  X-C: 3");
}

TEST(HttpServer, ADroppedExchangeIsA500) {
  TestServer server;
  server.handler.on_exchange = [](const std::shared_ptr<Exchange>&) {};
  TestClient client(server.port());
  client.send(kGet);
  EXPECT_EQ(client.read_response().status, 500);
  client.send(kGet);
  EXPECT_EQ(client.read_response().status, 500);
}

TEST(HttpServer, ADroppedStreamHasNoEnd) {
  TestServer server;
  Signal is_read;
  server.handler.on_exchange = [&](const std::shared_ptr<Exchange>& exchange) {
    exchange->begin_stream(200, "text/plain");
    exchange->write("begun");
    EXPECT_TRUE(is_read.wait());
  };
  TestClient client(server.port());
  client.send(kGet);
  std::string answer;
  while (!answer.ends_with("5\r\nbegun\r\n")) {
    const std::string piece = client.read_some();
    ASSERT_FALSE(piece.empty()) << answer;
    answer += piece;
  }
  is_read.set();
  EXPECT_EQ(client.read_all(), "");
  EXPECT_TRUE(client.ended());
}

TEST(HttpServer, AHandlerThatThrowsIsA500WithoutItsWords) {
  TestServer server;
  server.handler.on_exchange = [](const std::shared_ptr<Exchange>&) {
    throw std::runtime_error("secret 0x7fff1234");
  };
  std::string answer = server.ask(kGet + std::string(kLastGet));
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 500 ")) << answer;
  EXPECT_EQ(answer.find("secret"), std::string::npos);
  server.handler.on_any_head = [](const HttpHead&) -> std::variant<BodyLimit, HttpResponse> {
    throw std::runtime_error("secret 0x7fff1234");
  };
  answer = server.ask(kLastGet);
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 500 ")) << answer;
  EXPECT_EQ(answer.find("secret"), std::string::npos);
}

TEST(HttpServer, WorkThatDoesNotFitIsRefusedWithATimeToComeBack) {
  HttpServerOptions options;
  options.workers = 1;
  options.queued_requests_max = 1;
  TestServer server(options);
  Signal release;
  std::atomic<int> begun = 0;
  server.handler.on_exchange = [&](const std::shared_ptr<Exchange>& exchange) {
    ++begun;
    release.wait();
    exchange->respond({.body = "done"});
  };
  TestClient running(server.port());
  running.send(kGet);
  ASSERT_TRUE(server.becomes([&] { return begun == 1; }));
  TestClient queued(server.port());
  queued.send(kGet);
  ASSERT_TRUE(server.becomes([&] { return server->active_requests() == 2; }));
  TestClient refused(server.port());
  refused.send(kGet);
  const TestResponse response = refused.read_response();
  EXPECT_EQ(response.status, 503);
  EXPECT_TRUE(response.headers.contains("retry-after"));
  release.set();
  EXPECT_EQ(running.read_response().body, "done");
  EXPECT_EQ(queued.read_response().body, "done");
  refused.send(kGet);
  EXPECT_EQ(refused.read_response().body, "done");
}

TEST(HttpServer, BodiesTogetherAreBounded) {
  HttpServerOptions options;
  options.body_memory_max = 10000;
  TestServer server(options);
  std::mutex mutex;
  std::vector<std::shared_ptr<Exchange>> kept;
  server.handler.on_exchange = [&](const std::shared_ptr<Exchange>& exchange) {
    const std::lock_guard lock(mutex);
    kept.push_back(exchange);
  };
  const auto kept_count = [&] {
    const std::lock_guard lock(mutex);
    return kept.size();
  };
  TestClient first(server.port());
  first.send(post(std::string(8000, 'x')));
  ASSERT_TRUE(server.becomes([&] { return kept_count() == 1; }));
  TestClient second(server.port());
  second.send(post(std::string(8000, 'x')));
  EXPECT_EQ(second.read_response().status, 503);
  TestClient chunked(server.port());
  chunked.send(
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
      "chunked\r\n\r\n1f40\r\n" +
      std::string(8000, 'x') + "\r\n0\r\n\r\n");
  EXPECT_EQ(chunked.read_response().status, 503);
  kept[0]->release_body();
  TestClient third(server.port());
  third.send(post(std::string(8000, 'x')));
  ASSERT_TRUE(server.becomes([&] { return kept_count() == 2; }));
  for (const auto& exchange : kept) exchange->respond({.body = "done"});
  EXPECT_EQ(first.read_response().body, "done");
  EXPECT_EQ(third.read_response().body, "done");
}

TEST(HttpServer, AnAnswerMayComeLongAfterTheHandlerReturned) {
  TestServer server;
  std::shared_ptr<Exchange> kept;
  Signal is_kept;
  server.handler.on_exchange = [&](const std::shared_ptr<Exchange>& exchange) {
    kept = exchange;
    is_kept.set();
  };
  TestClient client(server.port());
  client.send(post("hello"));
  ASSERT_TRUE(is_kept.wait());
  EXPECT_EQ(kept->body(), "hello");
  EXPECT_EQ(server->active_requests(), 1U);
  std::thread answerer([&] { kept->respond({.body = "later"}); });
  EXPECT_EQ(client.read_response().body, "later");
  answerer.join();
}

TEST(HttpServer, ADrainAnswersWhatRunsAndEndsIdleConnectionsAtOnce) {
  TestServer server;
  Signal has_begun;
  Signal release;
  server.handler.on_exchange = [&](const std::shared_ptr<Exchange>& exchange) {
    has_begun.set();
    release.wait();
    exchange->respond({.body = "done"});
  };
  TestClient idle(server.port());
  TestClient busy(server.port());
  busy.send(kGet);
  ASSERT_TRUE(has_begun.wait());
  server->stop_accepting();
  EXPECT_EQ(idle.read_all(), "");
  EXPECT_TRUE(idle.ended());
  EXPECT_TRUE(server.becomes([&] { return !TestClient(server.port()).is_connected(); }));
  std::size_t cut = 99;
  std::thread stopper([&] { cut = server->stop(5); });
  std::this_thread::sleep_for(milliseconds(10));
  release.set();
  const TestResponse response = busy.read_response();
  EXPECT_EQ(response.body, "done");
  EXPECT_EQ(response.headers.at("connection"), "close");
  stopper.join();
  EXPECT_EQ(cut, 0U);
}

TEST(HttpServer, WhatIsNotAnsweredWithinTheGraceIsCut) {
  TestServer server;
  std::shared_ptr<Exchange> kept;
  Signal has_begun;
  std::atomic<int> gone = 0;
  server.handler.on_exchange = [&](const std::shared_ptr<Exchange>& exchange) {
    kept = exchange;
    exchange->on_gone([&] { ++gone; });
    has_begun.set();
  };
  TestClient client(server.port());
  client.send(kGet);
  ASSERT_TRUE(has_begun.wait());
  EXPECT_EQ(server->stop(0.02), 1U);
  EXPECT_EQ(gone, 1);
  EXPECT_EQ(client.read_all(), "");
  // What is left of the request can still be held, and does nothing.
  EXPECT_TRUE(kept->is_gone());
  EXPECT_FALSE(kept->respond({}));
  kept->on_gone([&] { ++gone; });
  EXPECT_EQ(gone, 2);
  EXPECT_EQ(server->stop(1), 0U);
  server->post([] { FAIL() << "ran after the end"; });
}

TEST(HttpServer, AnIdleServerStopsAtOnce) {
  TestServer server;
  const TestClient idle(server.port());
  const auto begin = std::chrono::steady_clock::now();
  server->stop(30);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(2));
}

}  // namespace
}  // namespace paring::net
