// SPDX-License-Identifier: Apache-2.0
#include "monitor/http_poster.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <utility>

namespace paring::monitor {

namespace {

constexpr std::size_t kAnswerBytesMax = std::size_t{1} << 20;

using Steady = std::chrono::steady_clock;
Steady::duration steady_seconds(double seconds) {
  return std::chrono::duration_cast<Steady::duration>(std::chrono::duration<double>(seconds));
}

}  // namespace

struct HttpPoster::Shared {
  std::mutex mutex;
  std::condition_variable changed;
  Steady::time_point ends_by = Steady::time_point::max();
};

struct HttpPoster::Sink final : net::UpstreamSink {
  explicit Sink(std::shared_ptr<Shared> of) : shared(std::move(of)) {}
  Wish on_head(int status, std::vector<net::HttpHeader> headers) override {
    const std::lock_guard lock(shared->mutex);
    reply.status = status;
    for (const net::HttpHeader& header : headers) {
      if (header.name == "retry-after") reply.retry_after_s = retry_after_of(header.value);
    }
    return Wish::kMore;
  }
  Wish on_bytes(std::string_view bytes) override {
    answer_bytes += bytes.size();
    return answer_bytes > kAnswerBytesMax ? Wish::kStop : Wish::kMore;
  }
  void on_end(const net::UpstreamEnd& end) override {
    const std::lock_guard lock(shared->mutex);
    if (end.failure) reply = {};
    has_ended = true;
    shared->changed.notify_all();
  }
  const std::shared_ptr<Shared> shared;
  PostReply reply;  // under the mutex, as is has_ended
  bool has_ended = false;
  std::size_t answer_bytes = 0;  // of the client's thread
};

bool may_retry(const PostReply& reply) noexcept {
  constexpr int kStatuses[] = {0, 429, 502, 503, 504};
  return std::ranges::find(kStatuses, reply.status) != std::end(kStatuses);
}

std::optional<double> retry_after_of(std::string_view header) noexcept {
  std::uint32_t seconds = 0;
  const auto [end, error] = std::from_chars(header.data(), header.data() + header.size(), seconds);
  if (error != std::errc() || end != header.data() + header.size()) return std::nullopt;
  return seconds;
}

Result<std::unique_ptr<HttpPoster>> HttpPoster::start(double answer_seconds) {
  PARING_TRY(auto client, net::UpstreamClient::start({.connect_seconds = answer_seconds,
                                                      .stall_seconds = answer_seconds,
                                                      .connections_kept = 2}));
  return std::unique_ptr<HttpPoster>(new HttpPoster(std::move(client), answer_seconds));
}

HttpPoster::HttpPoster(std::unique_ptr<net::UpstreamClient> client, double answer_seconds)
    : answer_seconds_(answer_seconds),
      shared_(std::make_shared<Shared>()),
      client_(std::move(client)) {}

PostReply HttpPoster::post(const std::string& url, std::vector<net::HttpHeader> headers,
                           std::string body) {
  const auto sink = std::make_shared<Sink>(shared_);
  const std::uint64_t id = client_->new_id();
  client_->send(id, {"POST", url, std::move(headers), std::move(body)}, sink);
  const Steady::time_point answered_by = Steady::now() + steady_seconds(answer_seconds_);
  std::unique_lock lock(shared_->mutex);
  while (!sink->has_ended) {
    const Steady::time_point until = std::min(answered_by, shared_->ends_by);
    if (Steady::now() >= until) {
      lock.unlock();
      client_->cancel(id);
      return {};
    }
    shared_->changed.wait_until(lock, until);
  }
  return sink->reply;
}

void HttpPoster::hurry(double seconds) {
  const std::lock_guard lock(shared_->mutex);
  shared_->ends_by = Steady::now() + steady_seconds(seconds);
  shared_->changed.notify_all();
}

}  // namespace paring::monitor
