// SPDX-License-Identifier: Apache-2.0
// Clients that leave, half-close, stall, read slowly or are too many.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/process.h"
#include "base/random.h"
#include "net/server_for_test.h"

namespace paring::net {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

constexpr const char* kGet = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

// Keeps every exchange and counts those whose client is gone.
struct Keeper {
  explicit Keeper(TestServer& keeper_of) : server(keeper_of) {
    server.handler.on_exchange = [this](const std::shared_ptr<Exchange>& exchange) {
      if (streams) exchange->begin_stream(200, "text/event-stream");
      exchange->on_gone([this] { ++gone; });
      const std::lock_guard lock(mutex);
      kept.push_back(exchange);
    };
  }
  // No handler runs any more when what it uses goes.
  ~Keeper() { server->stop(0); }
  std::size_t count() {
    const std::lock_guard lock(mutex);
    return kept.size();
  }
  TestServer& server;
  std::mutex mutex;
  std::vector<std::shared_ptr<Exchange>> kept;
  std::atomic<int> gone = 0;
  bool streams = false;
};

enum class Leaving { kClose, kReset };

class ClientsThatLeave : public testing::TestWithParam<std::pair<bool, Leaving>> {};

TEST_P(ClientsThatLeave, AreNoticedAtOnceWhileNothingIsWritten) {
  TestServer server;
  Keeper keeper(server);
  keeper.streams = GetParam().first;
  TestClient client(server.port());
  client.send(kGet);
  ASSERT_TRUE(server.becomes([&] { return keeper.count() == 1; }));
  if (keeper.streams) {
    EXPECT_TRUE(client.read_some().ends_with("\r\n\r\n"));
  }
  const auto left = Clock::now();
  if (GetParam().second == Leaving::kReset) client.reset();
  client.close();
  ASSERT_TRUE(server.becomes([&] { return keeper.gone == 1; }));
  EXPECT_LT(Clock::now() - left,
            milliseconds(500));  // a busy machine; 1 ms as a rule
  EXPECT_TRUE(keeper.kept[0]->is_gone());
  EXPECT_FALSE(keeper.kept[0]->write("x"));
  EXPECT_FALSE(keeper.kept[0]->respond({}));
  EXPECT_TRUE(server.becomes([&] { return server->open_connections() == 0; }));
  EXPECT_EQ(server->active_requests(), 0U);
}

INSTANTIATE_TEST_SUITE_P(All, ClientsThatLeave,
                         testing::Values(std::pair(false, Leaving::kClose),
                                         std::pair(false, Leaving::kReset),
                                         std::pair(true, Leaving::kClose),
                                         std::pair(true, Leaving::kReset)));

TEST(HttpLeaving, AClientThatOnlyStopsSendingGetsItsAnswer) {
  for (const std::string version : {"1.1", "1.0"}) {
    TestServer server;
    Keeper keeper(server);
    TestClient client(server.port());
    client.send("GET / HTTP/" + version + "\r\nHost: a\r\n\r\n");
    client.shutdown_sending();
    ASSERT_TRUE(server.becomes([&] { return keeper.count() == 1; }));
    std::this_thread::sleep_for(milliseconds(50));
    EXPECT_EQ(keeper.gone, 0);
    keeper.kept[0]->respond({.content_type = "text/plain", .body = "late"});
    const std::string answer = client.read_all();
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 OK\r\n")) << answer;
    EXPECT_TRUE(answer.ends_with("\r\n\r\nlate")) << answer;
    EXPECT_EQ(keeper.gone, 0);
  }
}

TEST(HttpLeaving, AClientThatOnlyStopsSendingGetsItsStream) {
  TestServer server;
  Keeper keeper(server);
  keeper.streams = true;
  TestClient client(server.port());
  client.send(kGet);
  ASSERT_TRUE(server.becomes([&] { return keeper.count() == 1; }));
  client.shutdown_sending();
  std::this_thread::sleep_for(milliseconds(20));
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(keeper.kept[0]->write("piece"));
    std::this_thread::sleep_for(milliseconds(5));
  }
  keeper.kept[0]->end_stream();
  const TestResponse response = client.read_response();
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.body, "piecepiecepiece");
  EXPECT_EQ(keeper.gone, 0);
}

TEST(HttpLeaving, RequestsThatCameBeforeTheEndAreAllAnswered) {
  TestServer server;
  TestClient client(server.port());
  client.send(kGet + std::string(kGet) + "GET /cut HTT");
  client.shutdown_sending();
  EXPECT_EQ(client.read_response().status, 200);
  EXPECT_EQ(client.read_response().status, 200);
  EXPECT_EQ(client.read_all(), "");
  EXPECT_TRUE(client.ended());
}

TEST(HttpLeaving, WhoLeavesAfterTheLastByteIsNotGone) {
  TestServer server;
  Keeper keeper(server);
  TestClient client(server.port());
  client.send(kGet);
  ASSERT_TRUE(server.becomes([&] { return keeper.count() == 1; }));
  keeper.kept[0]->respond({.body = "done"});
  EXPECT_EQ(client.read_response().body, "done");
  client.close();
  EXPECT_TRUE(server.becomes([&] { return server->open_connections() == 0; }));
  EXPECT_EQ(keeper.gone, 0);
}

TEST(HttpLeaving, OnGoneThatIsSetLateIsCalledAtOnce) {
  TestServer server;
  Keeper keeper(server);
  TestClient client(server.port());
  client.send(kGet);
  ASSERT_TRUE(server.becomes([&] { return keeper.count() == 1; }));
  client.close();
  ASSERT_TRUE(server.becomes([&] { return keeper.gone == 1; }));
  bool is_called = false;
  keeper.kept[0]->on_gone([&] { is_called = true; });
  EXPECT_TRUE(is_called);
}

TEST(HttpLeaving, AnExchangeThatHoldsItselfIsFreedWhenItIsAnswered) {
  TestServer server;
  std::weak_ptr<Exchange> seen;
  server.handler.on_exchange = [&](const std::shared_ptr<Exchange>& exchange) {
    seen = exchange;
    exchange->on_gone([exchange] { exchange->cut(); });
    exchange->respond({});
  };
  TestClient client(server.port());
  client.send(kGet);
  EXPECT_EQ(client.read_response().status, 200);
  EXPECT_TRUE(server.becomes([&] { return seen.expired(); }));
}

TEST(HttpLeaving, AReaderThatIsTooSlowIsCut) {
  HttpServerOptions options;
  options.stream_buffer_bytes = 100000;
  TestServer server(options);
  Keeper keeper(server);
  keeper.streams = true;
  TestClient client(server.port());
  client.send(kGet);
  ASSERT_TRUE(server.becomes([&] { return keeper.count() == 1; }));
  bool is_taken = true;
  std::size_t written = 0;
  // What the kernel takes is bounded too, so it ends.
  while (is_taken && written < (std::size_t{64} << 20)) {
    is_taken = keeper.kept[0]->write(std::string(40000, 'x'));
    written += 40000;
    std::this_thread::sleep_for(milliseconds(1));  // so that each is handed on by itself
  }
  EXPECT_FALSE(is_taken);
  EXPECT_TRUE(server.becomes([&] { return keeper.gone == 1; }));
  EXPECT_TRUE(server.becomes([&] { return server->open_connections() == 0; }));
}

TEST(HttpLeaving, AReaderThatTakesNothingIsCutInTime) {
  HttpServerOptions options;
  options.write_seconds = 0.2;
  TestServer server(options);
  server.handler.on_exchange = [&](const std::shared_ptr<Exchange>& exchange) {
    exchange->respond({.body = std::string(std::size_t{32} << 20, 'x')});
  };
  TestClient client(server.port());
  client.send(kGet);
  EXPECT_TRUE(server.becomes([&] { return server->active_requests() == 1; }));
  EXPECT_TRUE(server.becomes([&] { return server->open_connections() == 0; }));
}

TEST(HttpLeaving, HeadsAndBodiesMustArriveInTime) {
  HttpServerOptions options;
  options.header_seconds = 0.2;
  options.body_seconds = 0.2;
  options.idle_seconds = 0.4;
  TestServer server(options);
  TestClient silent(server.port());
  TestClient half_head(server.port());
  half_head.send("GET / HTT");
  TestClient half_body(server.port());
  half_body.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhell");
  TestClient idle(server.port());
  idle.send(kGet);
  EXPECT_EQ(idle.read_response().status, 200);
  EXPECT_EQ(half_head.read_response().status, 408);
  EXPECT_EQ(half_body.read_response().status, 408);
  EXPECT_EQ(silent.read_all(), "");
  EXPECT_TRUE(silent.ended());
  EXPECT_EQ(idle.read_all(), "");
  EXPECT_TRUE(idle.ended());
}

TEST(HttpLeaving, AHeadThatDripsIsNoReasonToWait) {
  HttpServerOptions options;
  options.header_seconds = 0.3;
  TestServer server(options);
  TestClient client(server.port());
  client.send("GET / HTTP/1.1\r\nHost: a\r\nX: ");
  const auto begin = Clock::now();
  while (Clock::now() - begin < std::chrono::seconds(5) && server->open_connections() > 0) {
    if (!client.send("x")) break;
    std::this_thread::sleep_for(milliseconds(10));
    if (client.read_waiting()) break;
  }
  EXPECT_EQ(client.read_response().status, 408);
}

std::size_t open_descriptors() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    ++count;
  }
  return count;
}

// Random, the same in every run.
class Numbers {
 public:
  std::size_t below(std::size_t limit) {
    return philox4x32({counter_++, 0, 0, 0}, {1, 2})[0] % limit;
  }

 private:
  std::uint32_t counter_ = 0;
};

TEST(HttpLeaving, AThousandClientsThatVanishLeaveNothing) {
  HttpServerOptions options;
  options.queued_requests_max = 1000;
  TestServer server(options);
  Keeper keeper(server);
  const std::size_t before = open_descriptors();
  {
    std::vector<TestClient> clients;
    for (int i = 0; i < 400; ++i) {
      clients.emplace_back(server.port());
      clients.back().send(kGet);
    }
    ASSERT_TRUE(server.becomes([&] { return keeper.count() == 400; }));
    for (std::size_t i = 0; i < clients.size(); ++i) {
      if (i % 2 == 0) clients[i].reset();
    }
  }
  for (int i = 0; i < 600; ++i) {
    TestClient client(server.port());
    client.send(std::string_view(kGet).substr(0, i % 30));
    if (i % 3 == 0) client.reset();
  }
  EXPECT_TRUE(server.becomes([&] { return server->open_connections() == 0; }));
  EXPECT_TRUE(server.becomes([&] { return keeper.gone == static_cast<int>(keeper.count()); }));
  EXPECT_EQ(open_descriptors(), before);
}

// One client that does something or other and may leave at any point.
void behave_somehow(std::uint16_t port, Numbers& numbers) {
  TestClient client(port);
  std::string bytes;
  switch (numbers.below(5)) {
    case 0:
      bytes = kGet;
      break;
    case 1:
      bytes = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3000\r\n\r\n" + std::string(3000, 'x');
      break;
    case 2:
      bytes =
          "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
          "chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n";
      break;
    case 3:
      bytes = std::string("\x16\x03\x01 nonsense\r\n\r\n");
      break;
    default:
      bytes = kGet + std::string(kGet) + kGet;
  }
  if (numbers.below(2) == 0) bytes.resize(numbers.below(bytes.size() + 1));
  client.send(bytes);
  if (numbers.below(4) == 0) client.shutdown_sending();
  if (numbers.below(4) == 0 && bytes.ends_with("\r\n\r\n")) client.read_some();
  if (numbers.below(2) == 0) client.reset();
}

TEST(HttpLeaving, TenThousandClientsThatComeAndGoCostNothingThatStays) {
  TestServer server;
  std::atomic<std::uint32_t> turn = 0;
  server.handler.on_exchange = [&](const std::shared_ptr<Exchange>& exchange) {
    if (++turn % 2 == 0) return;  // dropped: 500
    exchange->begin_stream(200, "text/plain");
    for (int i = 0; i < 5; ++i) exchange->write(std::string(500, 'x'));
    exchange->end_stream();
  };
  Numbers numbers;
  // A connection is counted from when it is accepted: one that the server has yet to accept, or
  // whose descriptor it is just closing, is seen by its descriptor alone.
  const std::size_t descriptors = open_descriptors();
  const auto all_gone = [&] {
    return server->open_connections() == 0 && open_descriptors() == descriptors;
  };
  for (int i = 0; i < 2000; ++i) behave_somehow(server.port(), numbers);
  ASSERT_TRUE(server.becomes(all_gone)) << open_descriptors() << " of " << descriptors;
  [[maybe_unused]] const std::uint64_t resident = process_memory()->resident_bytes;
  for (int i = 0; i < 8000; ++i) behave_somehow(server.port(), numbers);
  ASSERT_TRUE(server.becomes(all_gone)) << open_descriptors() << " of " << descriptors;
  EXPECT_EQ(server->active_requests(), 0U);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // which keep what is freed
  // A leak of a connection's few kilobytes in each round would be tens of megabytes.
  EXPECT_LT(process_memory()->resident_bytes, resident + (std::size_t{4} << 20));
#endif
  TestClient client(server.port());
  client.send(kGet);
  EXPECT_NE(client.read_response().status, 0);
}

TEST(HttpLeaving, RunningOutOfDescriptorsIsSurvived) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "UndefinedBehaviorSanitizer needs descriptors to look at an object";
#endif
  TestServer server;
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  std::vector<TestClient> waiting;
  for (int i = 0; i < 20; ++i) waiting.emplace_back(server.port());
  EXPECT_TRUE(server.becomes([&] { return server->open_connections() == 20; }));
  // Clients get their descriptors first; the server finds none left to accept
  // with.
  std::vector<int> unconnected;
  for (int i = 0; i < 4; ++i) unconnected.push_back(::dup(2));
  rlimit low = before;
  low.rlim_cur = static_cast<rlim_t>(unconnected.back() + 1);
  setrlimit(RLIMIT_NOFILE, &low);
  ::close(unconnected.back());
  TestClient late(server.port());  // takes the last one
  late.send(kGet);
  std::this_thread::sleep_for(milliseconds(150));
  EXPECT_EQ(server->open_connections(), 20U);
  waiting[0].send(kGet);
  EXPECT_EQ(waiting[0].read_response().status,
            200);      // those that are in are served
  waiting.pop_back();  // and one that leaves makes room
  EXPECT_EQ(late.read_response().status, 200);
  unconnected.pop_back();
  for (const int descriptor : unconnected) ::close(descriptor);
  setrlimit(RLIMIT_NOFILE, &before);
}

TEST(HttpListening, ATakenPortIsAnError) {
  TestServer server;
  TestHandler handler;
  HttpServerOptions options;
  options.port = server.port();
  const auto second = HttpServer::start(options, handler);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kUnavailable);
  EXPECT_EQ(second.error().message,
            "127.0.0.1:" + std::to_string(options.port) + " is taken by another program");
}

TEST(HttpListening, WrongAddressesAreErrors) {
  TestHandler handler;
  for (const char* address : {"", "300.1.1.1", "no.such.host.invalid", "unix:"}) {
    HttpServerOptions options;
    options.address = address;
    const auto started = HttpServer::start(options, handler);
    ASSERT_FALSE(started) << address;
    EXPECT_EQ(started.error().code, ErrorCode::kInvalidArgument) << started.error().text();
  }
  HttpServerOptions elsewhere;
  elsewhere.address = "192.0.2.1";  // kept free for documents
  const auto started = HttpServer::start(elsewhere, handler);
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code, ErrorCode::kUnavailable);
  EXPECT_NE(started.error().message.find("not an address of this machine"), std::string::npos);
}

TEST(HttpListening, IPv6IsSpoken) {
  HttpServerOptions options;
  options.address = "::1";
  TestHandler handler;
  const auto server = HttpServer::start(options, handler);
  if (!server) GTEST_SKIP() << "no IPv6 here: " << server.error().text();
  std::string remote;
  handler.on_exchange = [&](const std::shared_ptr<Exchange>& exchange) {
    remote = exchange->head().remote_address;
    exchange->respond({.body = "six"});
  };
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_port = htons((*server)->port());
  address.sin6_addr = in6addr_loopback;
  TestClient client(reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  client.send(kGet);
  EXPECT_EQ(client.read_response().body, "six");
  EXPECT_EQ(remote, "::1");
  EXPECT_EQ((*server)->url(), "http://[::1]:" + std::to_string((*server)->port()));
}

TEST(HttpListening, AUnixSocketIsMadeAndRemovedAndALeftOverOneReplaced) {
  const std::string path =
      std::filesystem::temp_directory_path() / ("paring-net-" + std::to_string(::getpid()));
  HttpServerOptions options;
  options.address = "unix:" + path;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  // One that a killed program left.
  const int dead = ::socket(AF_UNIX, SOCK_STREAM, 0);
  ASSERT_EQ(::bind(dead, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  ::close(dead);
  {
    TestServer server(options);
    EXPECT_EQ(server->url(), "unix:" + path);
    Keeper keeper(server);
    TestClient client(reinterpret_cast<const sockaddr*>(&address), sizeof(address));
    client.send(kGet);
    ASSERT_TRUE(server.becomes([&] { return keeper.count() == 1; }));
    EXPECT_EQ(keeper.kept[0]->head().remote_address, "unix");
    keeper.kept[0]->respond({.body = "local"});
    EXPECT_EQ(client.read_response().body, "local");
    client.send(kGet);
    ASSERT_TRUE(server.becomes([&] { return keeper.count() == 2; }));
    client.close();
    EXPECT_TRUE(server.becomes([&] { return keeper.gone == 1; }));
    TestHandler handler;
    EXPECT_FALSE(HttpServer::start(options, handler));  // taken, and it stays so
    EXPECT_TRUE(std::filesystem::exists(path));
  }
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(HttpListening, AFileThatIsNoSocketIsLeftAlone) {
  const std::string path =
      std::filesystem::temp_directory_path() / ("paring-file-" + std::to_string(::getpid()));
  ::close(::open(path.c_str(), O_CREAT | O_WRONLY, 0600));
  HttpServerOptions options;
  options.address = "unix:" + path;
  TestHandler handler;
  EXPECT_FALSE(HttpServer::start(options, handler));
  EXPECT_TRUE(std::filesystem::exists(path));
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace paring::net
