// SPDX-License-Identifier: Apache-2.0
// Tells the service manager that started this process how it stands, by the datagrams of
// sd_notify(3): ready, stopping, still alive. Without a manager everything is without effect.
//
//   const ServiceManager manager = ServiceManager::from_environment();
//   manager.tell_ready("serves chat");
//   const ServiceWatchdog watchdog(manager, [&] { return server->is_alive(); });
//
// A ServiceManager is thread-safe.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

namespace paring {

class ServiceManager {
 public:
  struct Options {
    std::string socket{};  // "/path", or "@name" for an abstract one; empty: nobody
    std::optional<double> watchdog_seconds{};  // after so long without a sign the process is killed
  };
  explicit ServiceManager(Options options) : options_(std::move(options)) {}
  // What NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID say; values that say nothing are as absent.
  static ServiceManager from_environment();

  bool is_there() const noexcept { return !options_.socket.empty(); }
  std::optional<double> watchdog_seconds() const noexcept { return options_.watchdog_seconds; }

  // `status` is for people, one line.
  void tell_ready(std::string_view status) const;
  void tell_stopping(std::string_view status) const;
  void tell_status(std::string_view status) const;
  void tell_alive() const;

 private:
  void send(std::string_view message) const;
  Options options_;
};

// While it exists and `is_alive` says so, the manager is told that the process is alive, twice as
// often as it must be. `is_alive` is called on a thread of the watchdog's.
class ServiceWatchdog {
 public:
  ServiceWatchdog(const ServiceManager& manager, std::function<bool()> is_alive);
  ~ServiceWatchdog();
  ServiceWatchdog(const ServiceWatchdog&) = delete;
  ServiceWatchdog& operator=(const ServiceWatchdog&) = delete;

 private:
  void run();

  const ServiceManager& manager_;
  std::function<bool()> is_alive_;
  std::mutex mutex_;
  std::condition_variable ends_;
  bool is_ending_ = false;  // guarded by mutex_
  std::thread thread_;      // none where nobody watches
};

}  // namespace paring
