// SPDX-License-Identifier: Apache-2.0
#include "serve/proxy/passage.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "serve/proxy/passed_content.h"
#include "serve/proxy/upstream_request.h"
#include "serve/route.h"
#include "store/token_gaps.h"

namespace paring::serve {

namespace {

constexpr int kNoContent = 204;
constexpr int kNotModified = 304;
constexpr int kFirstError = 400;
constexpr double kMicrosecondsPerSecond = 1e6;

// What a client is told; never the upstream's address, which may be nobody's business.
ApiError api_error_of(net::UpstreamFailure failure) {
  switch (failure) {
    case net::UpstreamFailure::kConnect:
      return {502, "upstream_unreachable", "the upstream server cannot be reached"};
    case net::UpstreamFailure::kTls:
      return {502, "upstream_tls",
              "there is no encrypted connection to the upstream server: its certificate, or what "
              "it speaks, is not what it should be"};
    case net::UpstreamFailure::kTimeout:
      return {504, "upstream_timeout", "the upstream server did not answer in time"};
    case net::UpstreamFailure::kMalformed:
      return {502, "upstream_malformed", "the upstream server's answer is no HTTP"};
    case net::UpstreamFailure::kCut:
    case net::UpstreamFailure::kCancelled:
      break;
  }
  return {502, "upstream_cut", "the upstream server ended the connection within its answer"};
}

void count(net::UpstreamFailure failure) {
  Metrics& cells = metrics();
  switch (failure) {
    case net::UpstreamFailure::kConnect:
      return cells.upstream_failed_connect.add();
    case net::UpstreamFailure::kTls:
      return cells.upstream_failed_tls.add();
    case net::UpstreamFailure::kTimeout:
      return cells.upstream_failed_timeout.add();
    case net::UpstreamFailure::kCut:
      return cells.upstream_failed_cut.add();
    case net::UpstreamFailure::kMalformed:
      return cells.upstream_failed_malformed.add();
    case net::UpstreamFailure::kCancelled:
      return;
  }
}

// Rows are told apart by their route: what anybody may make up is one of them.
const char* route_name(const std::string& path) {
  constexpr const char* kKnown[] = {"/v1/chat/completions",
                                    "/v1/completions",
                                    "/v1/responses",
                                    "/v1/embeddings",
                                    "/v1/messages",
                                    "/v1/messages/count_tokens",
                                    "/v1/models",
                                    "/v1/moderations",
                                    "/v1/rerank",
                                    "/v1/score",
                                    "/v1/files",
                                    "/v1/batches",
                                    "/v1/audio/transcriptions",
                                    "/v1/audio/speech",
                                    "/v1/images/generations",
                                    "/chat/completions",
                                    "/completion",
                                    "/completions",
                                    "/embeddings",
                                    "/rerank",
                                    "/tokenize",
                                    "/detokenize",
                                    "/health",
                                    "/api/chat",
                                    "/api/generate",
                                    "/api/embed",
                                    "/api/tags"};
  const auto found = std::find(std::begin(kKnown), std::end(kKnown), path);
  return found == std::end(kKnown) ? "other" : *found;
}

}  // namespace

store::TrafficRequest passage_row(const Passage& passage) {
  const RequestFacts& facts = passage.facts;
  store::TrafficRequest row;
  row.id = facts.id;
  row.trace_id = facts.trace.trace_id;
  row.span_id = facts.trace.span_id;
  row.parent_id = facts.trace.parent_id;
  row.started_s = facts.started_s;
  row.route = route_name(facts.path);
  row.status = facts.end.status;
  // Some clients close when the stream has said that it is at its end, before HTTP has.
  row.is_complete = facts.end.is_complete || passage.has_said_end;
  row.error_code = passage.error_code;
  const bool has_failed = !row.error_code.empty() || row.status >= kFirstError;
  const bool has_left = !row.is_complete && !passage.failure;
  row.end = has_failed ? "error" : has_left ? "cancelled" : passage.ending;
  row.key_id = facts.key_id;
  row.tenant = facts.tenant;
  row.user = facts.user;
  row.model = facts.model.empty() ? passage.answering_model : facts.model;
  if (passage.is_counted) row.variant = "tokens counted by chunk";
  row.tokens = passage.tokens;
  row.seconds.first_token = passage.first_token_seconds;
  row.seconds.total = facts.seconds;
  row.gaps = store::encode_gaps(passage.gaps);
  return row;
}

Relay::Relay(std::shared_ptr<net::Exchange> exchange, std::shared_ptr<Passage> passage,
             std::vector<net::HttpHeader> own_headers)
    : exchange_(std::move(exchange)),
      passage_(std::move(passage)),
      own_headers_(std::move(own_headers)) {}

net::UpstreamSink::Wish Relay::on_head(int status, std::vector<net::HttpHeader> headers) {
  DownstreamHead head = downstream_head(std::move(headers), own_headers_);
  passage_->has_answer = true;
  if (const auto form = monitor::UsageReader::form_of(head.content_type)) {
    reader_.emplace(*form);
    is_events_ = *form == monitor::UsageReader::Form::kEvents;
  }
  const bool has_no_body = status == kNoContent || status == kNotModified;
  const bool is_short = head.length <= kWholeMax && !is_events_;
  is_whole_ = has_no_body || (is_short && exchange_->head().method != "HEAD");
  if (is_whole_) {
    response_ = {.status = status,
                 .content_type = std::move(head.content_type),
                 .headers = std::move(head.headers)};
    return Wish::kMore;
  }
  has_begun_ = true;
  return exchange_->begin_stream(status, std::move(head.content_type), std::move(head.headers))
             ? Wish::kMore
             : Wish::kStop;
}

net::UpstreamSink::Wish Relay::on_bytes(std::string_view bytes) {
  if (*unsent_ > kUnsentMax) {
    exchange_->on_sent([unsent = unsent_, resume = resume_] {
      *unsent = 0;
      resume();
    });
    return Wish::kWait;
  }
  read(bytes);
  if (is_whole_) {
    response_.body += bytes;
    return Wish::kMore;
  }
  if (!is_events_) return write(std::string(bytes)) ? Wish::kMore : Wish::kStop;
  const std::size_t end = bytes.find_last_of("\r\n");
  if (end == std::string_view::npos && line_.size() + bytes.size() <= kLineMax) {
    line_ += bytes;
    return Wish::kMore;
  }
  const std::size_t now = end == std::string_view::npos ? bytes.size() : end + 1;
  std::string whole = std::exchange(line_, std::string(bytes.substr(now)));
  whole += bytes.substr(0, now);
  return write(std::move(whole)) ? Wish::kMore : Wish::kStop;
}

void Relay::on_end(const net::UpstreamEnd& end) {
  if (reader_) {
    reader_->finish();
    passage_->tokens = reader_->tokens();
    passage_->is_counted = reader_->is_counted();
    passage_->answering_model = reader_->model();
    passage_->ending = reader_->end();
    passage_->has_said_end = is_events_ && reader_->has_ended();
    passage_->error_code = reader_->error_code();
  }
  if (end.failure == net::UpstreamFailure::kCancelled && exchange_->is_gone()) return;
  if (end.failure) {
    fail(end);
  } else if (is_whole_) {
    exchange_->respond(std::move(response_));
  } else {
    if (!line_.empty()) exchange_->write(std::move(line_));
    exchange_->end_stream();
  }
}

void Relay::read(std::string_view bytes) {
  if (passage_->content) {
    std::string& answer = passage_->content->answer;
    if (answer.size() + bytes.size() > kPassedBytesMax) {
      passage_->content.reset();
      metrics().traffic_content_dropped_too_long.add();
    } else if (!passage_->content_room->add(bytes.size())) {
      passage_->content.reset();
    } else {
      answer += bytes;
    }
  }
  if (!reader_) return;
  const std::size_t chunks = reader_->read(bytes);
  if (chunks == 0) return;
  const double now = system_clock().monotonic_seconds() - passage_->begin;
  std::vector<std::int64_t>& gaps = passage_->gaps;
  for (std::size_t i = 0; i < chunks; ++i) {
    if (!passage_->first_token_seconds) {
      passage_->first_token_seconds = now;
    } else {
      const double gap = i == 0 ? now - *passage_->last_token_seconds : 0;
      metrics().inter_token_seconds.observe(gap);
      if (gaps.size() < Passage::kGapsMax) {
        gaps.push_back(std::llround(gap * kMicrosecondsPerSecond));
      }
    }
    passage_->last_token_seconds = now;
  }
}

bool Relay::write(std::string bytes) {
  *unsent_ += bytes.size();
  return exchange_->write(std::move(bytes));
}

void Relay::fail(const net::UpstreamEnd& end) {
  passage_->failure = *end.failure;
  count(*end.failure);
  ApiError error = api_error_of(*end.failure);
  passage_->error_code = error.code;
  log_warning(fmt::format("request {}: the upstream server: {}: {}", passage_->facts.id,
                          net::upstream_failure_name(*end.failure), end.detail));
  const wire::Protocol protocol = protocol_of(exchange_->head().path);
  std::string body = wire::error_body(protocol, error);
  if (!has_begun_) {
    exchange_->respond({.status = error.status,
                        .content_type = "application/json",
                        .headers = std::move(own_headers_),
                        .body = std::move(body)});
    return;
  }
  if (!is_events_) {
    exchange_->cut();
    return;
  }
  // What was begun of a line is dropped, an event that was begun ends here.
  const char* const name = protocol == wire::Protocol::kAnthropic ? "event: error\n" : "";
  exchange_->write(fmt::format("\n{}data: {}\n\n", name, body));
  exchange_->end_stream();
}

}  // namespace paring::serve
