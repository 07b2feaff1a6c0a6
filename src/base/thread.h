// SPDX-License-Identifier: Apache-2.0
// Thread: a thread with a name, and with a stack of a size of its own where it needs one. Names are
// what ps, top and profilers show, and what bench/serve_overhead.py tells the engine from the rest
// by: they are all listed here. At most 15 bytes, which is what the system keeps.
#pragma once

#include <pthread.h>

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace paring {

namespace thread_names {
// The threads that compute: the engine's own, and the executor's others, which have this and a
// number behind it.
inline constexpr std::string_view kEngine = "paring-engine";
inline constexpr std::string_view kExecutor = "paring-";
// Beside them, of a server: sockets, requests (a number behind it), answers that take long, lines
// of the log, masks of constraints, requests that waited for a model.
inline constexpr std::string_view kHttpIo = "paring-http-io";
inline constexpr std::string_view kHttpWorker = "paring-http-";
inline constexpr std::string_view kFinisher = "paring-finish";
inline constexpr std::string_view kLog = "paring-log";
inline constexpr std::string_view kMasks = "paring-masks";
inline constexpr std::string_view kResumer = "paring-resume";
inline constexpr std::string_view kTraffic = "paring-traffic";    // rows of what was served
inline constexpr std::string_view kEnergy = "paring-energy";      // joules, each second
inline constexpr std::string_view kRetention = "paring-retain";   // old ones go
inline constexpr std::string_view kHours = "paring-hours";        // step times, each minute
inline constexpr std::string_view kUpstream = "paring-upstream";  // requests to other servers
inline constexpr std::string_view kScrape = "paring-scrape";      // metrics of other servers
// Models that come and go, files and batches, the service manager.
inline constexpr std::string_view kLoader = "paring-loader";
inline constexpr std::string_view kKeeper = "paring-keeper";
inline constexpr std::string_view kDisk = "paring-disk";
inline constexpr std::string_view kBatches = "paring-batches";
inline constexpr std::string_view kLines = "paring-lines";
inline constexpr std::string_view kCanary = "paring-canary";  // how changes that are tried do
inline constexpr std::string_view kWatchdog = "paring-watchdog";
}  // namespace thread_names

// Of the calling thread; what is too long is cut.
void set_thread_name(std::string_view name) noexcept;

// Belongs to one thread at a time. Movable.
class Thread {
 public:
  Thread() noexcept = default;
  // Runs `body`, which must not throw. `stack_bytes`: 0 for the system's size; memory is taken as
  // the stack grows. Where there is no room for it, the stack has the system's size all the same.
  // Throws std::system_error as std::thread does when the system refuses.
  Thread(std::string_view name, std::function<void()> body, std::size_t stack_bytes = 0);
  // join().
  ~Thread();
  Thread(Thread&& other) noexcept;
  Thread& operator=(Thread&& other) noexcept;

  bool joinable() const noexcept { return thread_.has_value(); }
  // Waits until it has ended, if it was ever started.
  void join() noexcept;

 private:
  std::optional<pthread_t> thread_;
};

}  // namespace paring
