// SPDX-License-Identifier: Apache-2.0
// How a line of a batch is computed: the server's own path of a request, behind an interface, so
// that the engine of batches knows neither HTTP nor models.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "store/batches.h"

namespace paring::serve {

struct LineRequest {
  std::string batch_id;
  std::string custom_id;
  std::string request_id;  // "batch_req_...", the same however often the line is tried
  std::string tenant;
  std::string key_id;    // who made the batch: budgets are charged to it
  std::string endpoint;  // "/v1/chat/completions"
  std::string body;      // JSON text, streaming excluded
};

// What came of it: an answer as HTTP would give it, or that it has none yet.
struct LineAnswer {
  enum class Kind : std::uint8_t {
    kAnswered,   // with `status` and `body`, which may be an error
    kTryAgain,   // the server was busy: once more after `retry_after_seconds`
    kCancelled,  // gave up because the ticket said so
  };
  Kind kind = Kind::kAnswered;
  int status = 200;
  std::string body;  // JSON text
  store::BatchUsage usage;
  double retry_after_seconds = 1;
};

// A line that runs. Thread-safe. A ticket that goes without finish() counts as answered with an
// error 500, or as cancelled when it was, so that no line is ever waited for in vain.
class LineTicket {
 public:
  using Finished = std::function<void(LineAnswer)>;
  explicit LineTicket(Finished finished) : finished_(std::move(finished)) {}
  LineTicket(const LineTicket&) = delete;
  LineTicket& operator=(const LineTicket&) = delete;
  ~LineTicket();

  // The first call counts.
  void finish(LineAnswer answer);
  // The batch was cancelled, has expired, or the server ends: the answer is not needed any more.
  bool is_cancelled() const noexcept { return is_cancelled_.load(); }
  // Called once when that happens, on the thread of the batches; at once when it has happened.
  void on_cancel(std::function<void()> callback);
  void cancel();

 private:
  std::mutex mutex_;
  Finished finished_;  // empty once it has finished
  std::atomic<bool> is_cancelled_{false};
  std::function<void()> on_cancel_;
};

class LineExecutor {
 public:
  virtual ~LineExecutor() = default;
  // Starts a line and returns soon; the ticket is finished later, on any thread, or at once.
  virtual void start(LineRequest request, std::shared_ptr<LineTicket> ticket) = 0;
};

}  // namespace paring::serve
