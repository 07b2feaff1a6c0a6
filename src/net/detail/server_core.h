// SPDX-License-Identifier: Apache-2.0
// What the connections of a server share, and the thread that serves them.
#pragma once

#include <array>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/thread.h"
#include "net/detail/address_list.h"
#include "net/detail/flight.h"
#include "net/detail/listen_socket.h"
#include "net/detail/tls.h"
#include "net/detail/worker_pool.h"
#include "net/http_server.h"

namespace paring::net::detail {

class Connection;

class ServerCore {
 public:
  // `tls` is null for plain HTTP.
  ServerCore(const HttpServerOptions& options, RequestHandler& handler, ListenSocket listening,
             AddressList trusted_proxies, std::shared_ptr<const TlsContext> tls);
  // REQUIRES: stop() has returned.
  ~ServerCore();

  void start();
  void stop_accepting();
  std::size_t stop(double grace_seconds);
  void set_tls(std::shared_ptr<const TlsContext> tls);
  void post(std::function<void()> task) { queue->add(std::move(task)); }

  const ListenSocket& listening() const noexcept { return listening_; }
  std::size_t open_connections() const noexcept { return open_connections_.load(); }

  // For connections, on the I/O thread.
  const HttpServerOptions& options() const noexcept { return options_; }
  RequestHandler& handler() noexcept { return handler_; }
  const AddressList& trusted_proxies() const noexcept { return trusted_proxies_; }
  boost::asio::io_context& io() noexcept { return io_; }
  bool is_draining() const noexcept { return is_draining_; }
  std::uint64_t next_serial() noexcept { return ++serial_; }
  double now() const noexcept;
  const std::string& date();
  char* scratch() noexcept { return scratch_.data(); }
  static constexpr std::size_t kScratchBytes = 65536;
  void remove(Connection& connection);

  const std::shared_ptr<ReadyQueue> queue;
  const std::shared_ptr<BodyMemory> memory;
  WorkerPool workers;
  std::atomic<std::size_t> active_requests{0};

 private:
  void wait_for_clients();
  void accept_clients();
  void add(Accepted accepted);
  bool has_room_for(const Accepted& accepted);
  bool end_longest_idle();
  void turn_away(const Accepted& accepted, int status, std::string_view code,
                 std::string_view message);
  void work();
  void begin_drain();
  void schedule_tick();
  void tick();

  const HttpServerOptions options_;
  RequestHandler& handler_;
  ListenSocket listening_;
  const AddressList trusted_proxies_;
  std::shared_ptr<const TlsContext> tls_;
  std::size_t connections_max_ = 0;
  std::unordered_map<std::string, std::size_t> connections_of_address_;
  boost::asio::io_context io_{1};
  boost::asio::posix::basic_stream_descriptor<boost::asio::io_context::executor_type> listener_{
      io_};
  boost::asio::steady_timer ticker_{io_};
  boost::asio::steady_timer accept_pause_{io_};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> guard_{
      io_.get_executor()};
  std::list<std::shared_ptr<Connection>> connections_;
  std::atomic<std::size_t> open_connections_{0};
  std::uint64_t serial_ = 0;
  bool is_draining_ = false;
  bool is_ticking_ = false;
  bool is_out_of_descriptors_ = false;
  std::string date_;
  std::int64_t date_second_ = -1;
  std::array<char, kScratchBytes> scratch_;
  Thread thread_;
};

}  // namespace paring::net::detail
