// SPDX-License-Identifier: Apache-2.0
// What one client may take from the others: memory for bodies, connections.
#include <gtest/gtest.h>

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "net/http_server.h"
#include "net/server_for_test.h"

namespace paring::net {
namespace {

std::string head_of_post(std::size_t bytes, const std::string& client = "") {
  return "POST / HTTP/1.1\r\nHost: a\r\n" +
         (client.empty() ? "" : "X-Forwarded-For: " + client + "\r\n") +
         "Content-Length: " + std::to_string(bytes) + "\r\n\r\n";
}

// Keeps every request unanswered.
class Keeper {
 public:
  explicit Keeper(TestServer& server) {
    server.handler.on_exchange = [this](const std::shared_ptr<Exchange>& exchange) {
      const std::lock_guard lock(mutex_);
      kept_.push_back(exchange);
      ++count_;
    };
  }
  // So far.
  std::size_t count() {
    const std::lock_guard lock(mutex_);
    return count_;
  }
  void answer_all() {
    const std::lock_guard lock(mutex_);
    for (const auto& exchange : kept_) exchange->respond({.body = "done"});
    kept_.clear();
  }

 private:
  std::mutex mutex_;
  std::vector<std::shared_ptr<Exchange>> kept_;
  std::size_t count_ = 0;
};

TEST(HttpBounds, ABodyThatIsOnlyAnnouncedTakesNoMemory) {
  HttpServerOptions options;
  options.body_memory_max = 10000;
  TestServer server(options);
  std::vector<std::unique_ptr<TestClient>> announcers;
  for (int i = 0; i < 20; ++i) {
    announcers.push_back(std::make_unique<TestClient>(server.port()));
    announcers.back()->send(head_of_post(8000));
  }
  // All of them are being read.
  ASSERT_TRUE(server.becomes([&] { return server->active_requests() == 20; }));
  TestClient sender(server.port());
  sender.send(head_of_post(8000) + std::string(8000, 'x'));
  EXPECT_EQ(sender.read_response().status, 200);
}

TEST(HttpBounds, OneAddressDoesNotTakeAllMemoryForBodies) {
  HttpServerOptions options;
  options.trusted_proxies = {"127.0.0.1"};
  options.body_bytes_max = 1000;
  options.body_memory_max = 4000;  // half of it for one address
  TestServer server(options);
  Keeper keeper(server);
  const std::string body(1000, 'x');
  std::vector<std::unique_ptr<TestClient>> clients;
  const auto send = [&](const std::string& address) {
    clients.push_back(std::make_unique<TestClient>(server.port()));
    clients.back()->send(head_of_post(1000, address) + body);
  };
  send("192.0.2.1");
  send("192.0.2.1");
  ASSERT_TRUE(server.becomes([&] { return keeper.count() == 2; }));
  send("192.0.2.1");
  EXPECT_EQ(clients.back()->read_response().status, 503);
  send("192.0.2.2");
  send("192.0.2.2");
  ASSERT_TRUE(server.becomes([&] { return keeper.count() == 4; }));
  send("192.0.2.3");  // the whole is bounded too
  EXPECT_EQ(clients.back()->read_response().status, 503);
  keeper.answer_all();
  EXPECT_EQ(clients.front()->read_response().body, "done");
  // What was taken is given back.
  send("192.0.2.1");
  ASSERT_TRUE(server.becomes([&] { return keeper.count() == 5; }));
  keeper.answer_all();
  EXPECT_EQ(clients.back()->read_response().body, "done");
}

TEST(HttpBounds, ATrustedProxyBringsTheConnectionsOfMany) {
  HttpServerOptions options;
  options.connections_per_address_max = 1;
  options.trusted_proxies = {"127.0.0.1"};
  TestServer server(options);
  TestClient first(server.port());
  TestClient second(server.port());
  for (TestClient* client : {&first, &second}) {
    client->send(head_of_post(2) + "ok");
    EXPECT_EQ(client->read_response().body, "ok");
  }
}

}  // namespace
}  // namespace paring::net
