// SPDX-License-Identifier: Apache-2.0
#include "net/detail/server_core.h"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <cerrno>
#include <chrono>
#include <exception>
#include <utility>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/metrics.h"
#include "net/detail/connection.h"

namespace paring::net::detail {

namespace asio = boost::asio;

namespace {

// Deadlines are looked at so often, while there are connections.
constexpr std::chrono::milliseconds kTick{50};
// Clients taken at a time before those that are here get their turn.
constexpr int kAcceptedAtOnce = 64;
constexpr std::chrono::milliseconds kAcceptPause{100};

}  // namespace

ServerCore::ServerCore(const HttpServerOptions& options, RequestHandler& handler,
                       ListenSocket listening)
    : queue(std::make_shared<ReadyQueue>([this] { asio::post(io_, [this] { work(); }); })),
      memory(std::make_shared<BodyMemory>(options.body_memory_max)),
      workers(options.workers, options.queued_requests_max),
      options_(options),
      handler_(handler),
      listening_(std::move(listening)) {
  listener_.assign(listening_.descriptor);
}

ServerCore::~ServerCore() = default;

void ServerCore::start() {
  wait_for_clients();
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), "paring-http-io");
    io_.run();
  });
}

double ServerCore::now() const noexcept { return system_clock().monotonic_seconds(); }

const std::string& ServerCore::date() {
  const double wall = system_clock().wall_seconds();
  const auto second = static_cast<std::int64_t>(wall);
  if (second != std::exchange(date_second_, second)) date_ = http_date(wall);
  return date_;
}

void ServerCore::wait_for_clients() {
  if (!listener_.is_open()) return;
  listener_.async_wait(asio::posix::descriptor_base::wait_read,
                       [this](const boost::system::error_code& ec) {
                         if (!ec) accept_clients();
                       });
}

void ServerCore::accept_clients() {
  for (int i = 0; i < kAcceptedAtOnce; ++i) {
    Accepted accepted = accept_from(listening_);
    if (accepted.descriptor >= 0) {
      is_out_of_descriptors_ = false;
      add(std::move(accepted));
      continue;
    }
    const int error = accepted.error_number;
    if (error == EAGAIN) break;
    // The client left while it waited: the next one may not have.
    if (error == ECONNABORTED || error == EINTR || error == EPROTO) continue;
    if (!std::exchange(is_out_of_descriptors_, true)) {
      log_error("new connections wait: " + errno_text(error));
    }
    accept_pause_.expires_after(kAcceptPause);
    accept_pause_.async_wait([this](const boost::system::error_code& ec) {
      if (!ec) wait_for_clients();
    });
    return;
  }
  wait_for_clients();
}

void ServerCore::add(Accepted accepted) {
  tune_connection(accepted.descriptor, listening_.family, options_.write_seconds);
  Connection::Socket socket(io_);
  boost::system::error_code ec;
  socket.assign(asio::generic::stream_protocol(listening_.family, 0), accepted.descriptor, ec);
  if (ec) {
    ::close(accepted.descriptor);
    log_error("a connection could not be watched: " + ec.message());
    return;
  }
  auto connection =
      std::make_shared<Connection>(*this, std::move(socket), std::move(accepted.remote_address));
  connection->place = connections_.insert(connections_.end(), connection);
  open_connections_.fetch_add(1);
  metrics().http_connections.add();
  metrics().http_open_connections.add(1);
  connection->start();
  schedule_tick();
}

void ServerCore::remove(Connection& connection) {
  connections_.erase(connection.place);
  open_connections_.fetch_sub(1);
  metrics().http_open_connections.add(-1);
}

// What other threads, and posted tasks, left to do.
void ServerCore::work() {
  ReadyQueue::Work work = queue->take();
  for (const auto& task : work.tasks) {
    try {
      task();
    } catch (const std::exception& error) {
      log_error(std::string("a task on the I/O thread failed: ") + error.what());
    }
  }
  for (const std::shared_ptr<Flight>& flight : work.flights) {
    {
      const std::lock_guard lock(flight->mutex);
      flight->is_queued = false;
    }
    if (flight->connection == nullptr) continue;
    const std::shared_ptr<Connection> connection = flight->connection->shared_from_this();
    connection->service();
  }
}

void ServerCore::schedule_tick() {
  if (is_ticking_ || connections_.empty()) return;
  is_ticking_ = true;
  ticker_.expires_after(kTick);
  ticker_.async_wait([this](const boost::system::error_code& ec) {
    is_ticking_ = false;
    if (ec) return;
    tick();
    schedule_tick();
  });
}

void ServerCore::tick() {
  const double at = now();
  for (auto next = connections_.begin(); next != connections_.end();) {
    const std::shared_ptr<Connection> connection = *next++;
    connection->tick(at);
  }
}

void ServerCore::begin_drain() {
  if (std::exchange(is_draining_, true)) return;
  boost::system::error_code ignored;
  accept_pause_.cancel();
  listener_.close(ignored);
  if (!listening_.unix_path.empty()) ::unlink(listening_.unix_path.c_str());
  for (auto next = connections_.begin(); next != connections_.end();) {
    const std::shared_ptr<Connection> connection = *next++;
    connection->begin_drain();
  }
}

void ServerCore::stop_accepting() {
  post([this] { begin_drain(); });
}

std::size_t ServerCore::stop(double grace_seconds) {
  if (!thread_.joinable()) return 0;
  stop_accepting();
  const double end = now() + grace_seconds;
  while (active_requests.load() > 0 && now() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  std::size_t cut = 0;
  post([this, &cut] {
    begin_drain();
    while (!connections_.empty()) {
      const std::shared_ptr<Connection> connection = connections_.front();
      if (connection->is_answering()) ++cut;
      connection->cut();
    }
    ticker_.cancel();
    guard_.reset();
  });
  thread_.join();
  workers.stop();
  queue->close();
  // What was cancelled last holds connections; they go before the core does.
  io_.restart();
  io_.poll();
  return cut;
}

}  // namespace paring::net::detail
