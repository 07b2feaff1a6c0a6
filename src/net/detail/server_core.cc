// SPDX-License-Identifier: Apache-2.0
#include "net/detail/server_core.h"

#include <sys/resource.h>
#include <sys/socket.h>
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
#include "base/text.h"
#include "net/detail/connection.h"
#include "net/detail/response_text.h"

namespace paring::net::detail {

namespace asio = boost::asio;

namespace {

// Deadlines are looked at so often, while there are connections.
constexpr std::chrono::milliseconds kTick{50};
// Clients taken at a time before those that are here get their turn.
constexpr int kAcceptedAtOnce = 64;
constexpr std::chrono::milliseconds kAcceptPause{100};
// Descriptors that are not for connections: models, stores, logs.
constexpr std::size_t kDescriptorsKept = 64;
// One address has at most half of the memory for bodies, or one body of the largest size.
constexpr std::size_t kAddressShare = 2;

}  // namespace

ServerCore::ServerCore(const HttpServerOptions& options, RequestHandler& handler,
                       ListenSocket listening, AddressList trusted_proxies,
                       std::shared_ptr<const TlsContext> tls)
    : queue(std::make_shared<ReadyQueue>([this] { asio::post(io_, [this] { work(); }); })),
      memory(std::make_shared<BodyMemory>(
          options.body_memory_max,
          std::max(options.body_memory_max / kAddressShare,
                   std::min(options.body_bytes_max, options.body_memory_max)))),
      workers(options.workers, options.queued_requests_max, options.worker_stack_bytes),
      options_(options),
      handler_(handler),
      listening_(std::move(listening)),
      trusted_proxies_(std::move(trusted_proxies)),
      tls_(std::move(tls)),
      connections_max_(options.connections_max) {
  listener_.assign(listening_.descriptor);
  rlimit descriptors{};
  if (getrlimit(RLIMIT_NOFILE, &descriptors) != 0 || descriptors.rlim_cur == RLIM_INFINITY) return;
  const auto available = static_cast<std::size_t>(descriptors.rlim_cur);
  const std::size_t usable = std::max(available, 2 * kDescriptorsKept) - kDescriptorsKept;
  if (connections_max_ <= usable) return;
  connections_max_ = usable;
  log_warning("at most " + counted(usable, "connection") + " at a time: this process may have " +
              counted(available, "descriptor") + " (ulimit -n)");
}

ServerCore::~ServerCore() = default;

void ServerCore::start() {
  wait_for_clients();
  thread_ = Thread(thread_names::kHttpIo, [this] { io_.run(); });
}

void ServerCore::set_tls(std::shared_ptr<const TlsContext> tls) {
  post([this, tls = std::move(tls)]() mutable { tls_ = std::move(tls); });
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

// Ends the connection that has waited longest for its next request. False when none waits.
bool ServerCore::end_longest_idle() {
  Connection* longest = nullptr;
  for (const std::shared_ptr<Connection>& connection : connections_) {
    if (!connection->is_idle()) continue;
    if (longest == nullptr || connection->idle_since() < longest->idle_since()) {
      longest = connection.get();
    }
  }
  if (longest == nullptr) return false;
  longest->cut();
  return true;
}

// Answers before anything is read; what has come is thrown away, so that closing does not reset the
// connection before the client has read why.
void ServerCore::turn_away(const Accepted& accepted, int status, std::string_view code,
                           std::string_view message) {
  metrics().http_connections_refused.add();
  if (tls_) return;  // the answer would need a handshake
  HttpResponse response;
  try {
    response = handler_.error(nullptr, status, code, message);
  } catch (const std::exception& error) {
    log_error(std::string("the text of an error could not be made: ") + error.what());
  }
  response.status = status;
  response.headers.push_back({"Retry-After", "1"});
  const std::string text = response_head(response, {}, date()) + response.body;
  ::recv(accepted.descriptor, scratch(), kScratchBytes, MSG_DONTWAIT);
  ::send(accepted.descriptor, text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  ::shutdown(accepted.descriptor, SHUT_WR);
}

bool ServerCore::has_room_for(const Accepted& accepted) {
  const std::size_t per_address = options_.connections_per_address_max;
  // A proxy brings the connections of many.
  if (per_address > 0 && listening_.family != AF_UNIX &&
      !trusted_proxies_.contains(accepted.remote_address)) {
    const auto found = connections_of_address_.find(accepted.remote_address);
    if (found != connections_of_address_.end() && found->second >= per_address) {
      turn_away(accepted, 429, "too_many_connections",
                "there are too many connections from this address");
      return false;
    }
  }
  if (connections_.size() < connections_max_ || end_longest_idle()) return true;
  turn_away(accepted, 503, "too_many_connections", "the server has too many connections");
  return false;
}

void ServerCore::add(Accepted accepted) {
  if (!has_room_for(accepted)) {
    ::close(accepted.descriptor);
    return;
  }
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
      std::make_shared<Connection>(*this, std::move(socket), std::move(accepted.remote_address),
                                   tls_ ? std::make_unique<TlsSession>(tls_) : nullptr);
  ++connections_of_address_[connection->peer_address()];
  connection->place = connections_.insert(connections_.end(), connection);
  open_connections_.fetch_add(1);
  metrics().http_connections.add();
  metrics().http_open_connections.add(1);
  connection->start();
  schedule_tick();
}

void ServerCore::remove(Connection& connection) {
  const auto same_address = connections_of_address_.find(connection.peer_address());
  if (--same_address->second == 0) connections_of_address_.erase(same_address);
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
