// SPDX-License-Identifier: Apache-2.0
// Who is told of alerts: the log, and webhooks, each with a queue of a fixed size and a thread of
// its own, so that one that is slow or down holds up nobody. What a webhook does not take is tried
// again, later each time, for an hour; what is dropped is counted by reason. Thread-safe.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "monitor/alert_webhook.h"
#include "monitor/http_poster.h"

namespace paring::monitor {

// What became of a notice. enumerator, label
#define PARING_ALERT_RESULTS(X)                                                 \
  X(kSent, sent)                                                                \
  X(kFailed, failed)           /* one try of those that follow each other */    \
  X(kRefused, refused)         /* it answered that trying again is of no use */ \
  X(kUnreachable, unreachable) /* nobody took it for as long as it is tried */  \
  X(kQueueFull, queue_full)    /* the oldest one that waited went for a newer one */

enum class AlertResult : std::uint8_t {
#define PARING_X(name, text) name,
  PARING_ALERT_RESULTS(PARING_X)
#undef PARING_X
};
inline constexpr std::size_t kAlertResults = static_cast<std::size_t>(AlertResult::kQueueFull) + 1;
const char* alert_result_name(AlertResult result) noexcept;

inline constexpr std::size_t kWebhooksMax = 8;
inline constexpr const char* kLogSink = "log";

struct AlertSinkStats {
  std::string name;
  std::array<std::int64_t, kAlertResults> results{};  // by AlertResult
  std::size_t waiting = 0;
  bool is_well = true;  // what was tried last was taken
};

class AlertSinks {
 public:
  using Post = std::function<PostReply(const WebhookTarget& target,
                                       std::vector<net::HttpHeader> headers, std::string body)>;
  struct Options {
    std::vector<WebhookTarget> webhooks{};
    std::string external_url{};
    bool is_logged = true;
    std::size_t waiting_max = 64;  // notices of each webhook
    double retry_seconds = 1;      // doubled with each try, unless the receiver names a time
    double retry_seconds_max = 60;
    double give_up_seconds = 3600;
    double stop_seconds = 2;  // for what waits at the end
  };

  // Errors of HttpPoster::start().
  static Result<std::unique_ptr<AlertSinks>> start(const Options& options);
  // With another way to post; `hurry` is called when it ends.
  AlertSinks(const Options& options, const Post& post, const std::function<void()>& hurry = {});
  ~AlertSinks();
  AlertSinks(const AlertSinks&) = delete;
  AlertSinks& operator=(const AlertSinks&) = delete;

  // Never waits for a receiver.
  void send(const AlertNotice& notice);
  // One more try of what waits, then none. Returns the objectives somebody was not told of.
  std::set<std::string> stop();
  // Objectives of which something waits or is being sent.
  std::set<std::string> waiting() const;
  std::vector<AlertSinkStats> stats() const;

 private:
  class Webhook;
  void log_notice(const AlertNotice& notice);
  const Options options_;
  const std::function<void()> hurry_;
  std::atomic<std::int64_t> logged_{0};
  std::vector<std::unique_ptr<Webhook>> webhooks_;
};

}  // namespace paring::monitor
