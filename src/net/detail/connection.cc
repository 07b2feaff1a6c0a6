// SPDX-License-Identifier: Apache-2.0
#include "net/detail/connection.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <exception>
#include <utility>

#include "base/log.h"
#include "base/metrics.h"
#include "base/text.h"
#include "net/detail/server_core.h"

namespace paring::net::detail {

namespace asio = boost::asio;

namespace {

// Unparsed bytes beyond which nothing more is read: a client that sends requests faster than it is
// answered waits.
constexpr std::size_t kPipelinedBytesMax = std::size_t{64} << 10;
// A small body that nobody wants is read and forgotten, so that the connection can go on.
constexpr std::uint64_t kForgottenBodyBytesMax = std::uint64_t{64} << 10;
// What is read after the last answer, so that a client which is still sending gets to read it.
constexpr std::uint64_t kLingerBytesMax = std::uint64_t{32} << 20;
constexpr double kBodyRateGraceSeconds = 5;

ParserLimits parser_limits(const HttpServerOptions& options) {
  return {.header_bytes_max = options.header_bytes_max,
          .headers_max = options.headers_max,
          .target_bytes_max = options.target_bytes_max};
}

}  // namespace

Connection::Connection(ServerCore& core, Socket socket, std::string peer_address,
                       std::unique_ptr<TlsSession> tls)
    : core_(core),
      socket_(std::move(socket)),
      peer_address_(std::move(peer_address)),
      tls_(std::move(tls)),
      parser_(parser_limits(core.options())) {}

Connection::~Connection() = default;

void Connection::start() {
  idle_since_ = core_.now();
  deadline_ = idle_since_ + core_.options().header_seconds;
  wait_readable();
}

// --- what comes in ---

void Connection::wait_readable() {
  if (is_reading_ || is_read_closed_ || phase_ == Phase::kClosed) return;
  const bool can_take = phase_ != Phase::kAnswering && !is_body_paused();
  if (in_.size() >= kPipelinedBytesMax && !can_take) return watch_errors();
  is_reading_ = true;
  socket_.async_wait(asio::socket_base::wait_read,
                     [self = shared_from_this()](const boost::system::error_code& ec) {
                       self->is_reading_ = false;
                       if (!ec) self->on_readable();
                     });
}

void Connection::on_readable() {
  if (phase_ == Phase::kClosed) return;
  const ssize_t bytes =
      ::recv(socket_.native_handle(), core_.scratch(), ServerCore::kScratchBytes, MSG_DONTWAIT);
  if (bytes > 0) {
    metrics().http_received_bytes.add(static_cast<std::uint64_t>(bytes));
    const std::string_view fresh(core_.scratch(), static_cast<std::size_t>(bytes));
    return tls_ ? take_encrypted(fresh) : take_in(fresh);
  }
  if (bytes == 0) {
    on_eof();
  } else if (errno == EAGAIN || errno == EINTR) {
    wait_readable();
  } else {
    on_reset();
  }
}

void Connection::take_encrypted(std::string_view fresh) {
  constexpr char kHandshakeRecord = 0x16;
  if (!std::exchange(is_tls_begun_, true) && fresh.front() != kHandshakeRecord) {
    tls_.reset();  // the answer is for one who does not speak it
    refuse({400, "tls_required", "this port speaks TLS: the address begins with https"});
    return wait_readable();
  }
  std::string plain;
  const TlsSession::State state = tls_->receive(fresh, &plain, &wire_);
  flush();
  if (state == TlsSession::State::kFailed) return cut();
  if (phase_ != Phase::kClosed) take_in(plain);
  if (state == TlsSession::State::kEnded && phase_ != Phase::kClosed && !is_read_closed_) on_eof();
}

void Connection::take_in(std::string_view fresh) {
  if (in_.empty()) {
    const std::size_t used = advance(fresh);
    in_.assign(fresh.substr(std::min(used, fresh.size())));
  } else {
    in_.append(fresh);
    in_.erase(0, advance(in_));
  }
  wait_readable();
}

// Goes on with what was read before.
void Connection::resume() {
  if (phase_ == Phase::kClosed) return;
  in_.erase(0, advance(in_));
  wait_readable();
}

// Makes of `data` what can be made; returns how many of its bytes are used up.
std::size_t Connection::advance(std::string_view data) {
  std::size_t used = 0;
  bool goes_on = true;
  while (goes_on) {
    const std::string_view rest = data.substr(used);
    std::size_t step = 0;
    switch (phase_) {
      case Phase::kHead:
        goes_on = advance_head(rest, &step);
        break;
      case Phase::kBody:
        goes_on = advance_body(rest, &step);
        break;
      case Phase::kAnswering:
        return used;
      case Phase::kLinger:
        // A client on a slow line that is still sending has its answer to read behind that.
        deadline_ = std::min(linger_end_, core_.now() + kLingerSeconds);
        [[fallthrough]];
      case Phase::kRefusing:
        lingered_bytes_ += rest.size();
        if (lingered_bytes_ > kLingerBytesMax) close();
        return data.size();
      case Phase::kClosed:
        return data.size();
    }
    used += step;
  }
  return used;
}

bool Connection::advance_head(std::string_view rest, std::size_t* used) {
  if (rest.empty()) {
    if (is_read_closed_) close();
    return false;
  }
  if (!std::exchange(is_head_begun_, true)) {
    deadline_ = core_.now() + core_.options().header_seconds;
  }
  switch (parser_.parse_head(rest, used)) {
    case RequestParser::Step::kNeedMore:
      if (is_read_closed_) close();
      return false;
    case RequestParser::Step::kRefused:
      refuse(parser_.refusal());
      return true;
    case RequestParser::Step::kDone:
      begin_request();
      return true;
  }
  return false;
}

// A streamed body of which nobody reads what has come.
bool Connection::is_body_paused() const {
  return phase_ == Phase::kBody && is_streaming_body_ && flight_->is_body_full();
}

bool Connection::advance_body(std::string_view rest, std::size_t* used) {
  if (is_body_paused()) return false;
  const RequestParser::Step step = parser_.parse_body(rest, used);
  if (step == RequestParser::Step::kRefused) {
    refuse(parser_.refusal());
    return true;
  }
  if (is_streaming_body_) {
    const std::string piece = std::exchange(parser_.body(), {});
    flight_->add_body(piece, step == RequestParser::Step::kDone);
  } else if (!is_answered_early_ && !reserve_body(parser_.body_bytes())) {
    return true;
  }
  if (step == RequestParser::Step::kNeedMore) {
    if (is_read_closed_) is_streaming_body_ ? cut() : close();
    return false;
  }
  request_complete();
  return true;
}

void Connection::on_eof() {
  is_read_closed_ = true;
  if (phase_ == Phase::kLinger) return close();
  in_.erase(0, advance(in_));  // what is complete is still answered
  if (phase_ == Phase::kAnswering || phase_ == Phase::kRefusing) {
    probe();
    watch_errors();
  }
}

// Tells a client that is gone from one that only ended its sending side; see http_server.h.
void Connection::probe() {
  if (!out_.empty() || !wire_.empty() || is_answer_queued_) return;  // what is being sent tells
  if (!is_head_sent_) {
    probed_bytes_ = 1;
    send(std::string(kHeadBegin.substr(0, probed_bytes_)));
  } else if (framing_ == BodyFraming::kChunked && flight_->head.method != "HEAD") {
    send("0");
  }
  flush();
}

// Waits for a reset while nothing is read.
void Connection::watch_errors() {
  if (std::exchange(is_watching_errors_, true) || phase_ == Phase::kClosed) return;
  socket_.async_wait(asio::socket_base::wait_error,
                     [self = shared_from_this()](const boost::system::error_code& ec) {
                       if (ec || self->phase_ == Phase::kClosed) return;
                       // Urgent data end the wait too.
                       pollfd state{self->socket_.native_handle(), 0, 0};
                       if (::poll(&state, 1, 0) > 0 && (state.revents & (POLLERR | POLLHUP)) != 0) {
                         self->on_reset();
                       }
                     });
}

void Connection::on_reset() { cut(); }

void Connection::cut() {
  if (phase_ == Phase::kClosed) return;
  const std::shared_ptr<Flight> flight = flight_;
  close();
  if (flight && flight->mark_gone()) metrics().http_clients_gone.add();
}

// --- requests ---

void Connection::begin_request() {
  const Framing& framing = parser_.framing();
  metrics().http_requests.add();
  ++requests_;
  is_keep_alive_ = framing.is_keep_alive && !core_.is_draining() &&
                   requests_ != core_.options().requests_per_connection_max;
  is_answered_early_ = is_head_sent_ = is_answer_queued_ = is_streaming_body_ = false;
  framing_ = BodyFraming::kLength;
  probed_bytes_ = 0;
  flight_ = std::make_shared<Flight>();
  flight_->connection = this;
  flight_->queue = core_.queue;
  flight_->memory = core_.memory;
  flight_->stream_buffer_bytes = core_.options().stream_buffer_bytes;
  flight_->head = std::move(parser_.head());
  // A proxy may add a line of its own behind those that the client wrote: all count, in order.
  const std::string forwarded_for = flight_->head.joined("x-forwarded-for");
  flight_->head.remote_address =
      forwarded_for.empty() || core_.trusted_proxies().empty()
          ? peer_address_
          : core_.trusted_proxies().client_of(peer_address_, forwarded_for);
  flight_->head.is_tls = tls_ != nullptr;
  flight_->head.serial = core_.next_serial();
  core_.active_requests.fetch_add(1);
  phase_ = Phase::kBody;
  std::variant<BodyLimit, HttpResponse> decision;
  try {
    decision = core_.handler().on_head(flight_->head);
  } catch (const std::exception& error) {
    log_error(std::string("a handler of request heads failed: ") + error.what());
    decision = error_response(500, "internal_error", "the server failed; its log tells more");
  }
  if (auto* answer = std::get_if<HttpResponse>(&decision)) return answer_early(std::move(*answer));
  const BodyLimit& limit = std::get<BodyLimit>(decision);
  is_quick_ = limit.is_quick;
  if (!framing.has_body) return request_complete();
  expect_body(limit);
}

void Connection::expect_body(const BodyLimit& limit) {
  const Framing& framing = parser_.framing();
  const std::size_t at_once_max = core_.options().body_bytes_max;
  const std::size_t bytes_max =
      limit.is_streamed ? limit.bytes : std::min(limit.bytes, at_once_max);
  if (framing.content_length.value_or(0) > bytes_max) {
    return refuse(
        {413, "body_too_large", "the body is larger than " + std::to_string(bytes_max) + " bytes"});
  }
  const std::string* coding = flight_->head.find("content-encoding");
  const std::string name = coding == nullptr ? std::string() : ascii_lower(*coding);
  if (!name.empty() && name != "identity" && (name != "gzip" || !limit.takes_gzip)) {
    return refuse({415, "unknown_content_coding",
                   limit.takes_gzip ? "bodies are taken plain or as gzip"
                                    : "bodies are taken uncompressed only"});
  }
  const std::uint64_t bytes = framing.content_length.value_or(limit.is_streamed ? bytes_max : 0);
  if (limit.is_streamed && !reserve_body(kStreamedBytesMax)) return;
  parser_.set_body_limit(bytes_max);
  body_begin_ = core_.now();
  const double shares =
      std::max(1.0, static_cast<double>(bytes) / static_cast<double>(at_once_max));
  deadline_ = body_begin_ + core_.options().body_seconds * (limit.is_streamed ? shares : 1.0);
  if (framing.expects_continue) {
    send("HTTP/1.1 100 Continue\r\n\r\n");
    flush();
  }
  if (!limit.is_streamed || phase_ != Phase::kBody) return;
  is_streaming_body_ = flight_->is_body_streamed = true;
  dispatch();
}

// Memory for the body up to there; refuses the request when there is none. As bytes come: what a
// head merely announces takes nothing from others.
bool Connection::reserve_body(std::uint64_t bytes) {
  if (bytes <= flight_->reserved) return true;
  const std::size_t more = static_cast<std::size_t>(bytes) - flight_->reserved;
  if (core_.memory->take(flight_->head.remote_address, more)) {
    flight_->reserved += more;
    return true;
  }
  metrics().http_requests_shed.add();
  refuse({503, "overloaded", "the bodies of other requests take all the memory there is for them"});
  return false;
}

// An answer that does not wait for the body.
void Connection::answer_early(HttpResponse response) {
  const Framing& framing = parser_.framing();
  is_answered_early_ = true;
  const bool is_body_forgotten =
      framing.has_body && !framing.expects_continue &&
      framing.content_length.value_or(kForgottenBodyBytesMax + 1) <= kForgottenBodyBytesMax;
  if (is_body_forgotten) {
    parser_.discard_body();
    body_begin_ = core_.now();
    deadline_ = body_begin_ + core_.options().header_seconds;
  } else if (framing.has_body) {
    is_keep_alive_ = false;
    phase_ = Phase::kRefusing;
  } else {
    phase_ = Phase::kAnswering;
    deadline_ = 0;
  }
  send_whole(std::move(response));
}

// An answer that ends the connection.
void Connection::refuse(const Refusal& why) {
  if (is_answered_early_ && flight_) return close();  // one answer is out, there cannot be another
  // Whoever reads the body hears of it; what they answer comes too late.
  if (is_streaming_body_ && phase_ == Phase::kBody) flight_->mark_gone();
  metrics().http_requests_refused.add();
  HttpResponse response = error_response(why.status, why.code, why.message);
  if (!flight_) {
    flight_ = std::make_shared<Flight>();
    flight_->connection = this;
    core_.active_requests.fetch_add(1);
    is_head_sent_ = is_answer_queued_ = false;
    probed_bytes_ = 0;
  }
  is_keep_alive_ = false;
  phase_ = Phase::kRefusing;
  deadline_ = 0;
  send_whole(std::move(response));
}

HttpResponse Connection::error_response(int status, std::string_view code,
                                        std::string_view message) {
  HttpResponse response;
  try {
    response = core_.handler().error(flight_ ? &flight_->head : nullptr, status, code, message);
  } catch (const std::exception& error) {
    log_error(std::string("the text of an error could not be made: ") + error.what());
  }
  response.status = status;
  if (status == 503) response.headers.push_back({"Retry-After", "1"});
  if (status == 415) response.headers.push_back({"Accept-Encoding", "identity"});
  return response;
}

void Connection::request_complete() {
  phase_ = Phase::kAnswering;
  deadline_ = 0;
  if (is_answered_early_) {
    if (out_.empty() && wire_.empty()) next_request();
    return;
  }
  if (is_streaming_body_) return;
  flight_->body = std::move(parser_.body());
  dispatch();
}

void Connection::dispatch() {
  auto exchange = std::make_shared<FlightExchange>(flight_);
  RequestHandler& handler = core_.handler();
  auto call = [&handler, exchange]() mutable {
    try {
      handler.on_request(std::move(exchange));
    } catch (const std::exception& error) {
      log_error(std::string("a handler of requests failed: ") + error.what());
    }
  };
  if (is_quick_) return call();
  if (core_.workers.submit(std::move(call))) return;
  metrics().http_requests_shed.add();
  exchange->respond(error_response(503, "overloaded", "too many requests wait to be read"));
}

// --- time ---

void Connection::begin_drain() {
  is_keep_alive_ = false;
  if (phase_ == Phase::kHead && !is_head_begun_) close();
}

void Connection::tick(double now) {
  if (write_deadline_ != 0 && now > write_deadline_) {
    metrics().http_slow_readers.add();
    return cut();
  }
  if (is_body_paused()) {
    // Not the client's fault.
    const double paused = std::max(0.0, now - paused_at_.value_or(now));
    deadline_ += paused;
    body_begin_ += paused;
    paused_at_ = now;
  } else {
    paused_at_.reset();
  }
  if (phase_ == Phase::kBody && now - body_begin_ > kBodyRateGraceSeconds) {
    const double wanted =
        static_cast<double>(core_.options().body_bytes_per_second_min) * (now - body_begin_);
    if (static_cast<double>(parser_.body_bytes()) < wanted) deadline_ = now;
  }
  if (deadline_ == 0 || now < deadline_) return;
  if (phase_ == Phase::kBody || (phase_ == Phase::kHead && is_head_begun_)) {
    metrics().http_timeouts.add();
    return refuse({408, "request_timeout", "the request did not arrive in time"});
  }
  close();
}

}  // namespace paring::net::detail
