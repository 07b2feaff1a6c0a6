// SPDX-License-Identifier: Apache-2.0
#include "serve/line_exchange.h"

#include <algorithm>
#include <charconv>
#include <utility>

namespace paring::serve {

namespace {

net::HttpHead head_of(const std::string& path, const std::string& id) {
  net::HttpHead head;
  head.method = "POST";
  head.path = path;
  for (std::size_t begin = 1; begin <= path.size();) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    head.segments.push_back(path.substr(begin, end - begin));
    begin = end + 1;
  }
  head.headers = {{"content-type", "application/json"}, {"x-request-id", id}};
  return head;
}

// Seconds after which to come back; nullopt when that does not help.
std::optional<double> retry_after(const net::HttpResponse& response) {
  constexpr int kTooMany = 429;
  constexpr int kUnavailable = 503;
  if (response.status != kTooMany && response.status != kUnavailable) return std::nullopt;
  for (const net::HttpHeader& header : response.headers) {
    if (header.name != "retry-after") continue;
    double seconds = 1;
    std::from_chars(header.value.data(), header.value.data() + header.value.size(), seconds);
    return seconds;
  }
  return std::nullopt;
}

}  // namespace

LineExchange::LineExchange(LineRequest request, std::shared_ptr<LineTicket> ticket,
                           std::shared_ptr<const void> place)
    : head_(head_of(request.endpoint, request.request_id)),
      body_(std::move(request.body)),
      ticket_(std::move(ticket)),
      place_(std::move(place)) {}

void LineExchange::note_usage(const AnswerUsage& usage) {
  const std::lock_guard lock(mutex_);
  usage_ = {.input_tokens = static_cast<std::int64_t>(usage.prompt_tokens),
            .cached_tokens = static_cast<std::int64_t>(usage.cached_tokens),
            .output_tokens = static_cast<std::int64_t>(usage.completion_tokens),
            .reasoning_tokens = static_cast<std::int64_t>(usage.reasoning_tokens)};
}

void LineExchange::read_body(std::function<void(std::string)> callback) {
  callback(std::exchange(body_, {}));
}

bool LineExchange::respond(net::HttpResponse response) {
  LineAnswer answer;
  // What comes after a cancellation may be cut short.
  const bool is_cancelled = ticket_->is_cancelled();
  if (record_ != nullptr) {
    // A line that comes again is a request then.
    if (retry_after(response)) record_->set_is_work(false);
    record_->set_end({.status = response.status, .is_complete = !is_cancelled});
  }
  if (is_cancelled) {
    answer.kind = LineAnswer::Kind::kCancelled;
  } else if (const auto seconds = retry_after(response)) {
    answer.kind = LineAnswer::Kind::kTryAgain;
    answer.retry_after_seconds = *seconds;
  } else {
    const std::lock_guard lock(mutex_);
    answer.status = response.status;
    answer.body = std::move(response.body);
    answer.usage = usage_;
  }
  ticket_->finish(std::move(answer));
  return !is_cancelled;
}

bool LineExchange::begin_stream(int, std::string, std::vector<net::HttpHeader>) {
  cut();
  return false;
}

bool LineExchange::write(std::string) { return false; }

void LineExchange::cut() {
  LineAnswer answer;
  constexpr int kFailed = 500;
  answer.status = kFailed;
  if (record_ != nullptr) record_->set_end({.status = kFailed, .is_complete = false});
  answer.body = R"({"error":{"message":"the line's answer was broken off","type":"server_error",)"
                R"("param":null,"code":null}})";
  ticket_->finish(std::move(answer));
}

}  // namespace paring::serve
