// SPDX-License-Identifier: Apache-2.0
// CPU time of the HTTP server alone: requests with a small JSON body over kept connections, and a
// stream's chunks, with handlers that do nothing. The clients' own CPU time is taken off. What is
// left is the server's threads and the kernel's work for them.
//
//   paring_http_bench [SECONDS]
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/process.h"
#include "net/http_server.h"

namespace paring::net {
namespace {

using Clock = std::chrono::steady_clock;

class Handler final : public RequestHandler {
 public:
  std::variant<BodyLimit, HttpResponse> on_head(const HttpHead& head) override {
    if (head.path == "/early") return HttpResponse{.content_type = "text/plain", .body = "ok"};
    return BodyLimit{std::size_t{1} << 20};
  }
  void on_request(std::shared_ptr<Exchange> exchange) override {
    if (exchange->head().path == "/stream") {
      const std::lock_guard lock(mutex);
      exchange->begin_stream(200, "text/event-stream");
      streams.push_back(std::move(exchange));
      return;
    }
    exchange->respond({.content_type = "application/json", .body = "{\"ok\":true}"});
  }
  HttpResponse error(const HttpHead*, int status, std::string_view code,
                     std::string_view) override {
    return {.status = status, .body = std::string(code)};
  }
  std::mutex mutex;
  std::vector<std::shared_ptr<Exchange>> streams;
};

int connect_to(std::uint16_t port) {
  const int descriptor = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  ::setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    std::perror("connect");
    std::exit(1);
  }
  return descriptor;
}

struct Shares {
  double cpu = 0;  // of the client
  std::size_t requests = 0;
};

// Asks again and again on one connection; what comes back fits into one read as a rule.
Shares ask(std::uint16_t port, std::string_view request, Clock::time_point end) {
  const double begin = thread_cpu_seconds();
  const int descriptor = connect_to(port);
  std::string answer(4096, '\0');
  Shares shares;
  while (Clock::now() < end) {
    if (::send(descriptor, request.data(), request.size(), MSG_NOSIGNAL) < 0) break;
    const ssize_t bytes = ::recv(descriptor, answer.data(), answer.size(), 0);
    if (bytes <= 0 || std::string_view(answer).substr(0, 12) != "HTTP/1.1 200") break;
    ++shares.requests;
  }
  ::close(descriptor);
  shares.cpu = thread_cpu_seconds() - begin;
  return shares;
}

void measure_requests(const HttpServer& server, const char* name, std::string_view request,
                      std::size_t clients, double seconds) {
  const auto end = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                      std::chrono::duration<double>(seconds));
  const double begin = cpu_seconds();
  std::vector<Shares> shares(clients);
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < clients; ++i) {
    threads.emplace_back([&, i] { shares[i] = ask(server.port(), request, end); });
  }
  for (std::thread& thread : threads) thread.join();
  double cpu = cpu_seconds() - begin;
  std::size_t requests = 0;
  for (const Shares& share : shares) {
    cpu -= share.cpu;
    requests += share.requests;
  }
  std::printf("%-34s %2zu connections: %6.1f us of CPU a request, %7.0f requests/s\n", name,
              clients, 1e6 * cpu / static_cast<double>(requests),
              static_cast<double>(requests) / seconds);
}

// Steps of an engine: each writes one chunk to each stream, in one task on the I/O thread.
void measure_stream(HttpServer& server, Handler& handler, std::size_t streams, double seconds) {
  std::vector<int> descriptors;
  for (std::size_t i = 0; i < streams; ++i) {
    descriptors.push_back(connect_to(server.port()));
    const std::string_view request = "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n";
    ::send(descriptors.back(), request.data(), request.size(), MSG_NOSIGNAL);
  }
  const auto begun = [&] {
    const std::lock_guard lock(handler.mutex);
    return handler.streams.size();
  };
  while (begun() < streams) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  double reader_cpu = 0;
  std::thread reader([&] {
    std::string bytes(65536, '\0');
    std::size_t open = descriptors.size();
    for (std::size_t i = 0; open > 0; i = (i + 1) % descriptors.size()) {
      if (i == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      if (descriptors[i] < 0) continue;
      const ssize_t count = ::recv(descriptors[i], bytes.data(), bytes.size(), MSG_DONTWAIT);
      if (count != 0) continue;
      ::close(std::exchange(descriptors[i], -1));
      --open;
    }
    reader_cpu = thread_cpu_seconds();
  });
  const std::string chunk =
      "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":"
      "\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" "
      "word\"},\"finish_reason\":null}]}\n\n";
  const double begin = cpu_seconds();
  const double own = thread_cpu_seconds();
  std::size_t steps = 0;
  const auto end = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                      std::chrono::duration<double>(seconds));
  while (Clock::now() < end) {
    server.post([&] {
      for (const auto& exchange : handler.streams) exchange->write(chunk);
    });
    ++steps;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  for (const auto& exchange : handler.streams) exchange->cut();
  handler.streams.clear();
  reader.join();
  const double cpu = cpu_seconds() - begin - reader_cpu - (thread_cpu_seconds() - own);
  std::printf("%-34s %2zu streams:     %6.1f us of CPU a chunk, %zu steps\n",
              "a chunk of 180 bytes", streams, 1e6 * cpu / static_cast<double>(steps * streams),
              steps);
}

int run(double seconds) {
  Handler handler;
  const auto started = HttpServer::start({}, handler);
  if (!started) {
    std::fprintf(stderr, "%s\n", started.error().text().c_str());
    return 1;
  }
  HttpServer& server = **started;
  const std::string body =
      "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"Hello, who are you?\"}],"
      "\"temperature\":0.7,\"max_tokens\":64}";
  const std::string request =
      "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nAccept: application/json\r\n"
      "Accept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\nContent-Type: "
      "application/json\r\n"
      "User-Agent: OpenAI/Python 1.0\r\nAuthorization: Bearer sk-0123456789abcdef\r\n"
      "X-Stainless-Lang: python\r\nX-Stainless-OS: Linux\r\nContent-Length: " +
      std::to_string(body.size()) + "\r\n\r\n" + body;
  for (const std::size_t clients : {std::size_t{1}, std::size_t{8}}) {
    measure_requests(server, "POST, through the pool", request, clients, seconds);
    measure_requests(server, "GET, answered from its head",
                     "GET /early HTTP/1.1\r\nHost: a\r\n\r\n", clients, seconds);
  }
  measure_stream(server, handler, 32, seconds);
  return 0;
}

}  // namespace
}  // namespace paring::net

int main(int argc, char** argv) {
  double seconds = 2;
  if (argc > 1) {
    const std::string_view text = argv[1];
    std::from_chars(text.data(), text.data() + text.size(), seconds);
  }
  return paring::net::run(std::clamp(seconds, 0.1, 60.0));
}
