// SPDX-License-Identifier: Apache-2.0
// From threads that serve to a collector of OpenTelemetry (OTLP over HTTP), without making them
// wait: a ring of a fixed number of slots and one thread that posts batches. What a collector does
// not take in time is dropped and counted by reason. A batch whose answer was lost is sent again
// with the same ids. Thread-safe.
//
//   PARING_TRY(const auto exporter, OtlpExporter::start({.target = target}));
//   exporter->record(row);
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <semaphore>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/thread.h"
#include "monitor/detail/bounded_queue.h"
#include "monitor/http_poster.h"
#include "monitor/otlp_target.h"
#include "monitor/otlp_writer.h"
#include "store/traffic_rows.h"

namespace paring::monitor {

// Why the span of a row was not sent. enumerator, label
// The counter is otlp_dropped_LABEL of base/metrics.def.
#define PARING_OTLP_DROPS(X)                                                       \
  X(kQueueFull, queue_full)    /* more came than the collector takes */            \
  X(kRefused, refused)         /* it answered that trying again is of no use */    \
  X(kUnreachable, unreachable) /* nobody answered, or it had no time, too often */ \
  X(kStopped, stopped)         /* the server ended before it was taken */

enum class OtlpDrop : std::uint8_t {
#define PARING_X(name, text) name,
  PARING_OTLP_DROPS(PARING_X)
#undef PARING_X
};
inline constexpr std::size_t kOtlpDrops = static_cast<std::size_t>(OtlpDrop::kStopped) + 1;
const char* otlp_drop_name(OtlpDrop reason) noexcept;

using OtlpReply = PostReply;

class OtlpExporter {
 public:
  // Posts a body and waits for the answer.
  using Post = std::function<OtlpReply(const OtlpSignal& to, std::string body)>;
  struct Options {
    OtlpTarget target{};
    OtlpResource resource{};
    double interval_seconds = 5;  // a batch is sent when it is this old or full; histograms each
    std::size_t batch_rows = 512;
    std::size_t queue_slots = 4096;  // a power of two
    double answer_seconds = 10;      // in which the collector answers
    double stop_seconds = 2;         // for what waits at the end
    double retry_seconds = 1;        // doubled with each try, unless the collector names a time
    double retry_seconds_max = 60;
    int tries_max = 6;
  };
  struct Stats {
    std::int64_t offered = 0;
    std::int64_t sent = 0;
    std::array<std::int64_t, kOtlpDrops> dropped{};  // by OtlpDrop
    std::int64_t posts_failed = 0;                   // of spans and of histograms
  };

  // Errors of UpstreamClient::start().
  static Result<std::unique_ptr<OtlpExporter>> start(const Options& options);
  // With another way to post; `hurry` is called when it ends.
  OtlpExporter(const Options& options, Post post, std::function<void()> hurry = {});
  // Tries once more to send what waits.
  ~OtlpExporter();
  OtlpExporter(const OtlpExporter&) = delete;
  OtlpExporter& operator=(const OtlpExporter&) = delete;

  // Never waits; whether the row was taken. Its prompt and answer are not kept.
  bool record(store::TrafficRequest row);
  // Whether what was recorded before the call was sent or dropped within `seconds`.
  bool flush(double seconds);
  Stats stats() const;

  // Until the next try after `tries` that failed.
  static double retry_delay(const Options& options, const OtlpReply& reply, int tries) noexcept;

 private:
  // Of the thread.
  void run();
  bool take();
  bool is_due(double now) const;
  void send();
  void send_metrics();
  void settle(std::optional<OtlpDrop> dropped);
  void end_batch();
  void drop(OtlpDrop reason, std::int64_t rows);
  void fail_post();
  void wait();

  const Options options_;
  const Post post_;
  const std::function<void()> hurry_;
  detail::BoundedQueue<store::TrafficRequest> ring_;
  std::counting_semaphore<> wake_{0};

  std::atomic<std::int64_t> pushed_{0};
  std::atomic<std::int64_t> flush_to_{0};
  std::atomic<bool> is_stopping_{false};
  std::atomic<std::int64_t> offered_{0};
  std::atomic<std::int64_t> sent_{0};
  std::atomic<std::int64_t> posts_failed_{0};
  std::array<std::atomic<std::int64_t>, kOtlpDrops> dropped_{};

  std::mutex settled_mutex_;
  std::condition_variable settled_changed_;
  std::int64_t settled_ = 0;  // of those that were pushed; written by the thread alone

  // Of the thread.
  std::vector<store::TrafficRequest> rows_;
  OtlpMetrics metrics_;
  bool has_news_ = false;  // histograms that were not sent yet
  int tries_ = 0;          // of the batch in hand
  std::optional<double> try_again_at_;
  double next_tick_ = 0;
  bool is_well_ = true;
  Thread thread_;
};

}  // namespace paring::monitor
