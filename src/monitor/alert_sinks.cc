// SPDX-License-Identifier: Apache-2.0
#include "monitor/alert_sinks.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"

namespace paring::monitor {

namespace {

constexpr const char* kResultNames[] = {
#define PARING_X(name, text) #text,
    PARING_ALERT_RESULTS(PARING_X)
#undef PARING_X
};
constexpr std::string_view kThreadName = "paring-webhook";
constexpr int kFirstServerError = 500;
constexpr double kRetryAfterMax = 300;  // a receiver does not silence us for longer

double now_seconds() { return system_clock().monotonic_seconds(); }

bool is_taken(const PostReply& reply) { return reply.status >= 200 && reply.status < 300; }
bool is_tried_again(const PostReply& reply) {
  return may_retry(reply) || reply.status >= kFirstServerError;
}

// What concerns those that hear of some severities only.
AlertNotice part_for(const AlertNotice& notice, const std::vector<std::string>& severities) {
  if (severities.empty()) return notice;
  AlertNotice part{.objective = notice.objective, .alerts = {}};
  for (const AlertNotice::Alert& alert : notice.alerts) {
    const auto found = alert.labels.find("severity");
    if (found == alert.labels.end() ||
        std::ranges::find(severities, found->second) == severities.end())
      continue;
    part.alerts.push_back(alert);
  }
  return part;
}

}  // namespace

const char* alert_result_name(AlertResult result) noexcept {
  return kResultNames[static_cast<std::size_t>(result)];
}

class AlertSinks::Webhook {
 public:
  Webhook(const WebhookTarget& target, const Options& options, Post post)
      : target_(target),
        options_(options),
        post_(std::move(post)),
        thread_(kThreadName, [this] { run(); }) {}
  ~Webhook() { stop(); }
  Webhook(const Webhook&) = delete;
  Webhook& operator=(const Webhook&) = delete;

  void send(const AlertNotice& notice) {
    AlertNotice part = part_for(notice, target_.severities);
    if (part.alerts.empty()) return;
    const std::lock_guard lock(mutex_);
    // The first may be on its way.
    if (waiting_.size() >= options_.waiting_max) {
      waiting_.erase(waiting_.begin() + (waiting_.size() > 1 ? 1 : 0));
      count(AlertResult::kQueueFull);
    }
    waiting_.push_back({part.objective, webhook_body(part, target_.name, options_.external_url),
                        now_seconds(), 0, next_number_++});
    changed_.notify_all();
  }

  void begin_stop() {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
    changed_.notify_all();
  }
  void stop() {
    begin_stop();
    thread_.join();
  }

  void add_waiting(std::set<std::string>& objectives) const {
    const std::lock_guard lock(mutex_);
    for (const Notice& notice : waiting_) objectives.insert(notice.objective);
  }

  AlertSinkStats stats() const {
    const std::lock_guard lock(mutex_);
    return {target_.name, results_, waiting_.size(), is_well_};
  }

 private:
  struct Notice {
    std::string objective;
    std::string body;
    double since = 0;
    int tries = 0;
    std::uint64_t number = 0;
  };

  void count(AlertResult result) { ++results_[static_cast<std::size_t>(result)]; }

  std::vector<net::HttpHeader> headers_of(const std::string& body) const {
    std::vector<net::HttpHeader> headers = target_.headers;
    headers.push_back({"Content-Type", "application/json"});
    if (!target_.hmac_key.empty()) {
      headers.push_back({kSignatureHeader, webhook_signature(target_.hmac_key, body)});
    }
    return headers;
  }

  void run() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [&] { return is_stopping_ || !waiting_.empty(); });
      if (waiting_.empty()) return;
      const bool is_last = is_stopping_;
      const Notice& first = waiting_.front();
      const std::uint64_t number = first.number;
      std::string body = first.body;
      lock.unlock();
      std::vector<net::HttpHeader> headers = headers_of(body);
      const PostReply reply = post_(target_, std::move(headers), std::move(body));
      lock.lock();
      const std::optional<double> delay = settle(number, reply);
      if (!delay) continue;
      // What has had its last try is told of after the next start.
      if (is_last) return;
      changed_.wait_for(lock, std::chrono::duration<double>(*delay), [&] { return is_stopping_; });
    }
  }

  // With the mutex. How long to wait before the next try; nothing: go on.
  std::optional<double> settle(std::uint64_t number, const PostReply& reply) {
    const bool is_well = is_taken(reply);
    if (is_well_ && !is_well) {
      log_warning(fmt::format(
          "the webhook {} takes no alerts: {}", target_.name,
          reply.status == 0 ? std::string("no answer") : fmt::format("status {}", reply.status)));
    } else if (!is_well_ && is_well) {
      log_info(fmt::format("the webhook {} takes alerts again", target_.name));
    }
    is_well_ = is_well;
    // A newer one may have taken its place in a full queue.
    const bool is_there = !waiting_.empty() && waiting_.front().number == number;
    if (is_well) {
      count(AlertResult::kSent);
    } else {
      count(AlertResult::kFailed);
      if (!is_there) return std::nullopt;
      Notice& notice = waiting_.front();
      const bool is_too_late = now_seconds() - notice.since >= options_.give_up_seconds;
      if (is_tried_again(reply) && !is_too_late) return delay_of(reply, ++notice.tries);
      count(is_tried_again(reply) ? AlertResult::kUnreachable : AlertResult::kRefused);
    }
    if (is_there) waiting_.pop_front();
    return std::nullopt;
  }

  double delay_of(const PostReply& reply, int tries) const {
    if (reply.retry_after_s) return std::clamp(*reply.retry_after_s, 0.0, kRetryAfterMax);
    constexpr int kTriesMax = 30;
    return std::min(std::ldexp(options_.retry_seconds, std::min(tries, kTriesMax) - 1),
                    options_.retry_seconds_max);
  }

  const WebhookTarget target_;
  const Options& options_;
  const Post post_;
  mutable std::mutex mutex_;  // guards the following
  std::condition_variable changed_;
  std::deque<Notice> waiting_;
  std::uint64_t next_number_ = 0;
  std::array<std::int64_t, kAlertResults> results_{};
  bool is_well_ = true;
  bool is_stopping_ = false;
  Thread thread_;
};

Result<std::unique_ptr<AlertSinks>> AlertSinks::start(const Options& options) {
  // Each has its own: a thread waits for its answers only.
  std::map<std::string, std::shared_ptr<HttpPoster>> posters;
  for (const WebhookTarget& target : options.webhooks) {
    PARING_TRY(std::unique_ptr<HttpPoster> poster, HttpPoster::start(target.answer_seconds));
    posters[target.name] = std::move(poster);
  }
  return std::make_unique<AlertSinks>(
      options,
      [posters](const WebhookTarget& target, std::vector<net::HttpHeader> headers,
                std::string body) {
        return posters.at(target.name)->post(target.url, std::move(headers), std::move(body));
      },
      [posters, seconds = options.stop_seconds] {
        for (const auto& [name, poster] : posters) poster->hurry(seconds);
      });
}

AlertSinks::AlertSinks(const Options& options, const Post& post, const std::function<void()>& hurry)
    : options_(options), hurry_(hurry) {
  for (const WebhookTarget& target : options_.webhooks) {
    webhooks_.push_back(std::make_unique<Webhook>(target, options_, post));
  }
}

AlertSinks::~AlertSinks() { stop(); }

void AlertSinks::log_notice(const AlertNotice& notice) {
  if (!options_.is_logged) return;
  const std::string line = "alert " + webhook_body(notice, kLogSink, options_.external_url);
  log(notice.is_firing() ? LogLevel::kWarning : LogLevel::kInfo, line);
  ++logged_;
}

void AlertSinks::send(const AlertNotice& notice) {
  log_notice(notice);
  for (const auto& webhook : webhooks_) webhook->send(notice);
}

std::set<std::string> AlertSinks::stop() {
  if (hurry_) hurry_();
  for (const auto& webhook : webhooks_) webhook->begin_stop();
  for (const auto& webhook : webhooks_) webhook->stop();
  return waiting();
}

std::set<std::string> AlertSinks::waiting() const {
  std::set<std::string> objectives;
  for (const auto& webhook : webhooks_) webhook->add_waiting(objectives);
  return objectives;
}

std::vector<AlertSinkStats> AlertSinks::stats() const {
  std::vector<AlertSinkStats> all;
  if (options_.is_logged) {
    AlertSinkStats log{.name = kLogSink, .results = {}};
    log.results[static_cast<std::size_t>(AlertResult::kSent)] = logged_;
    all.push_back(std::move(log));
  }
  for (const auto& webhook : webhooks_) all.push_back(webhook->stats());
  return all;
}

}  // namespace paring::monitor
