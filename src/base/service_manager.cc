// SPDX-License-Identifier: Apache-2.0
#include "base/service_manager.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "base/log.h"
#include "base/text.h"
#include "base/thread.h"

namespace paring {

namespace {

constexpr double kMicrosecondsPerSecond = 1e6;
// A manager that does not read must not hold the process up.
constexpr time_t kSendSeconds = 2;

std::string variable(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

std::optional<std::uint64_t> number(const std::string& text) {
  std::uint64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end || text.empty()) return std::nullopt;
  return value;
}

// A line of its own; what is told cannot begin another.
std::string line(const char* name, std::string_view value) {
  return std::string(name) + '=' + escape_control(value) + '\n';
}

}  // namespace

ServiceManager ServiceManager::from_environment() {
  Options options;
  options.socket = variable("NOTIFY_SOCKET");
  if (!options.socket.starts_with('/') && !options.socket.starts_with('@')) options.socket.clear();
  const auto microseconds = number(variable("WATCHDOG_USEC"));
  const std::string process = variable("WATCHDOG_PID");
  const bool is_ours = process.empty() || number(process) == static_cast<std::uint64_t>(getpid());
  if (!options.socket.empty() && is_ours && microseconds.value_or(0) > 0) {
    options.watchdog_seconds = static_cast<double>(*microseconds) / kMicrosecondsPerSecond;
  }
  return ServiceManager(std::move(options));
}

void ServiceManager::tell_ready(std::string_view status) const {
  send("READY=1\n" + line("STATUS", status));
}

void ServiceManager::tell_stopping(std::string_view status) const {
  send("STOPPING=1\n" + line("STATUS", status));
}

void ServiceManager::tell_status(std::string_view status) const { send(line("STATUS", status)); }

void ServiceManager::tell_alive() const { send("WATCHDOG=1\n"); }

void ServiceManager::send(std::string_view message) const {
  if (!is_there()) return;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (options_.socket.size() >= sizeof(address.sun_path)) {
    return log_warning("NOTIFY_SOCKET is longer than the name of a socket can be");
  }
  std::memcpy(address.sun_path, options_.socket.data(), options_.socket.size());
  if (address.sun_path[0] == '@') address.sun_path[0] = '\0';
  const auto size =
      static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + options_.socket.size());
  const int descriptor = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) {
    return log_warning(std::string("the service manager cannot be told: ") + std::strerror(errno));
  }
  const timeval patience = {.tv_sec = kSendSeconds, .tv_usec = 0};
  setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
  const ssize_t sent = sendto(descriptor, message.data(), message.size(), MSG_NOSIGNAL,
                              reinterpret_cast<const sockaddr*>(&address), size);
  if (sent < 0) {
    log_warning(std::string("the service manager cannot be told: ") + std::strerror(errno));
  }
  close(descriptor);
}

ServiceWatchdog::ServiceWatchdog(const ServiceManager& manager, std::function<bool()> is_alive)
    : manager_(manager), is_alive_(std::move(is_alive)) {
  if (manager_.watchdog_seconds()) thread_ = std::thread([this] { run(); });
}

ServiceWatchdog::~ServiceWatchdog() {
  {
    const std::lock_guard lock(mutex_);
    is_ending_ = true;
  }
  ends_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void ServiceWatchdog::run() {
  set_thread_name(thread_names::kWatchdog);
  const std::chrono::duration<double> interval(*manager_.watchdog_seconds() / 2);
  bool was_alive = true;
  std::unique_lock lock(mutex_);
  while (!is_ending_) {
    lock.unlock();
    const bool is_alive = is_alive_();
    if (is_alive) manager_.tell_alive();
    if (was_alive && !is_alive) {
      log_error("no step for too long: the service manager will start the process again");
      manager_.tell_status("no step for too long");
    }
    was_alive = is_alive;
    lock.lock();
    ends_.wait_for(lock, interval, [this] { return is_ending_; });
  }
}

}  // namespace paring
