// SPDX-License-Identifier: Apache-2.0
#include "monitor/otlp_exporter.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"

namespace paring::monitor {

namespace {

constexpr const char* kDropNames[] = {
#define PARING_X(name, text) #text,
    PARING_OTLP_DROPS(PARING_X)
#undef PARING_X
};
constexpr std::string_view kThreadName = "paring-otlp";
constexpr double kRetryAfterMax = 300;  // a collector does not silence us for longer

double now_seconds() { return system_clock().monotonic_seconds(); }

}  // namespace

const char* otlp_drop_name(OtlpDrop reason) noexcept {
  return kDropNames[static_cast<std::size_t>(reason)];
}

Result<std::unique_ptr<OtlpExporter>> OtlpExporter::start(const Options& options) {
  PARING_TRY(std::unique_ptr<HttpPoster> made, HttpPoster::start(options.answer_seconds));
  const std::shared_ptr<HttpPoster> poster = std::move(made);
  return std::make_unique<OtlpExporter>(
      options,
      [poster](const OtlpSignal& to, std::string body) {
        std::vector<net::HttpHeader> headers = to.headers;
        headers.push_back({"Content-Type", "application/x-protobuf"});
        return poster->post(to.url, std::move(headers), std::move(body));
      },
      [poster, seconds = options.stop_seconds] { poster->hurry(seconds); });
}

OtlpExporter::OtlpExporter(const Options& options, Post post, std::function<void()> hurry)
    : options_(options),
      post_(std::move(post)),
      hurry_(std::move(hurry)),
      ring_(options.queue_slots),
      metrics_(options.resource, system_clock().wall_seconds()) {
  PARING_CHECK(options.batch_rows > 0 && options.tries_max > 0, "a batch has rows and a try");
  rows_.reserve(options_.batch_rows);
  next_tick_ = now_seconds() + options_.interval_seconds;
  thread_ = Thread(kThreadName, [this] { run(); });
}

OtlpExporter::~OtlpExporter() {
  is_stopping_ = true;
  if (hurry_) hurry_();
  wake_.release();
  thread_.join();
}

bool OtlpExporter::record(store::TrafficRequest row) {
  offered_ += 1;
  row.content.reset();
  if (!ring_.push(row)) {
    drop(OtlpDrop::kQueueFull, 1);
    return false;
  }
  // Otherwise the next tick finds it.
  if (++pushed_ % static_cast<std::int64_t>(options_.batch_rows) == 0) wake_.release();
  return true;
}

bool OtlpExporter::flush(double seconds) {
  const std::int64_t to = pushed_;
  std::int64_t before = flush_to_;
  while (before < to && !flush_to_.compare_exchange_weak(before, to)) {
  }
  wake_.release();
  std::unique_lock lock(settled_mutex_);
  return settled_changed_.wait_for(lock, std::chrono::duration<double>(seconds),
                                   [&] { return settled_ >= to; });
}

OtlpExporter::Stats OtlpExporter::stats() const {
  Stats stats;
  stats.sent = sent_;
  stats.posts_failed = posts_failed_;
  for (std::size_t i = 0; i < kOtlpDrops; ++i) stats.dropped[i] = dropped_[i];
  stats.offered = offered_;
  return stats;
}

double OtlpExporter::retry_delay(const Options& options, const OtlpReply& reply,
                                 int tries) noexcept {
  if (reply.retry_after_s) return std::clamp(*reply.retry_after_s, 0.0, kRetryAfterMax);
  return std::min(std::ldexp(options.retry_seconds, std::min(tries, 30) - 1),
                  options.retry_seconds_max);
}

void OtlpExporter::run() {
  for (;;) {
    const bool is_last = is_stopping_;
    const bool has_taken = take();
    const double now = now_seconds();
    if (!rows_.empty() && (is_last || is_due(now))) send();
    if (is_last) {
      // What was not taken now has had its last try, and what is behind it has none.
      if (!rows_.empty()) {
        do {
          settle(OtlpDrop::kStopped);
        } while (take());
      }
      if (has_taken) continue;
      send_metrics();
      return;
    }
    if (now >= next_tick_) {
      send_metrics();
      next_tick_ = now_seconds() + options_.interval_seconds;
    }
    // After a whole batch there may be more.
    if (has_taken && rows_.empty()) continue;
    wait();
  }
}

bool OtlpExporter::take() {
  bool has_taken = false;
  while (rows_.size() < options_.batch_rows) {
    std::optional<store::TrafficRequest> row = ring_.pop();
    if (!row) break;
    metrics_.add(*row);
    has_news_ = has_taken = true;
    rows_.push_back(std::move(*row));
  }
  return has_taken;
}

bool OtlpExporter::is_due(double now) const {
  if (try_again_at_) return now >= *try_again_at_;
  return rows_.size() >= options_.batch_rows || now >= next_tick_ || settled_ < flush_to_;
}

void OtlpExporter::send() {
  // Only histograms are wanted.
  if (options_.target.traces.url.empty()) return end_batch();
  const OtlpReply reply = post_(options_.target.traces, otlp_traces(rows_, options_.resource));
  const bool is_taken = reply.status >= 200 && reply.status < 300;
  if (!is_taken) fail_post();
  const bool was_well = std::exchange(is_well_, is_taken);
  if (was_well && !is_well_) {
    log_warning(
        "the collector of OpenTelemetry takes no spans: " +
        (reply.status == 0 ? std::string("no answer") : "status " + std::to_string(reply.status)));
  }
  if (!was_well && is_well_) log_info("the collector of OpenTelemetry takes spans again");
  if (is_taken) return settle(std::nullopt);
  if (!may_retry(reply)) return settle(OtlpDrop::kRefused);
  if (++tries_ >= options_.tries_max) return settle(OtlpDrop::kUnreachable);
  try_again_at_ = now_seconds() + retry_delay(options_, reply, tries_);
}

void OtlpExporter::send_metrics() {
  if (!has_news_ || options_.target.metrics.url.empty()) return;
  const OtlpReply reply =
      post_(options_.target.metrics, metrics_.request(system_clock().wall_seconds()));
  // They are sums since the start: what did not arrive is in the next ones.
  has_news_ = reply.status < 200 || reply.status >= 300;
  if (has_news_) fail_post();
}

void OtlpExporter::settle(std::optional<OtlpDrop> dropped) {
  const auto rows = static_cast<std::int64_t>(rows_.size());
  if (dropped) {
    drop(*dropped, rows);
  } else {
    sent_ += rows;
    metrics().otlp_spans.add(static_cast<std::uint64_t>(rows));
  }
  end_batch();
}

void OtlpExporter::end_batch() {
  const auto rows = static_cast<std::int64_t>(rows_.size());
  rows_.clear();
  tries_ = 0;
  try_again_at_.reset();
  const std::lock_guard lock(settled_mutex_);
  settled_ += rows;
  settled_changed_.notify_all();
}

void OtlpExporter::drop(OtlpDrop reason, std::int64_t rows) {
  static constexpr Counter Metrics::* kCounters[] = {
#define PARING_X(name, text) &Metrics::otlp_dropped_##text,
      PARING_OTLP_DROPS(PARING_X)
#undef PARING_X
  };
  const auto index = static_cast<std::size_t>(reason);
  dropped_[index] += rows;
  (metrics().*kCounters[index]).add(static_cast<std::uint64_t>(rows));
}

void OtlpExporter::fail_post() {
  posts_failed_ += 1;
  metrics().otlp_posts_failed.add();
}

void OtlpExporter::wait() {
  const double until = try_again_at_ ? std::min(*try_again_at_, next_tick_) : next_tick_;
  const double seconds = std::max(until - now_seconds(), 0.0);
  (void)wake_.try_acquire_for(std::chrono::duration<double>(seconds));
  while (wake_.try_acquire()) {
  }
}

}  // namespace paring::monitor
