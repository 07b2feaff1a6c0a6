// SPDX-License-Identifier: Apache-2.0
// The half of a connection that sends.
#include <sys/socket.h>

#include <boost/asio/post.hpp>
#include <cerrno>
#include <utility>

#include "base/metrics.h"
#include "net/detail/connection.h"
#include "net/detail/server_core.h"

namespace paring::net::detail {

namespace asio = boost::asio;

namespace {

// Pieces of output are joined up to this size.
constexpr std::size_t kJoinedBytesMax = std::size_t{64} << 10;
// How long a client may go on sending after the last answer.
constexpr double kLingerSecondsMax = 30;

}  // namespace

void Connection::service() {
  std::string pending;
  HttpResponse response;
  Answer answer = Answer::kNone;
  bool is_abandoned = false;
  bool is_abandoned_unanswered = false;
  {
    const std::lock_guard lock(flight_->mutex);
    if (flight_->is_overrun) {
      metrics().http_slow_readers.add();
      is_abandoned = true;
    }
    answer = flight_->answer;
    pending = std::exchange(flight_->pending, {});
    is_abandoned = is_abandoned || (flight_->is_abandoned && answer == Answer::kStreaming);
    if (!is_head_sent_ && answer != Answer::kNone) response = std::move(flight_->response);
    is_abandoned_unanswered = flight_->is_abandoned && answer == Answer::kNone;
    if (is_abandoned_unanswered) flight_->answer = Answer::kWhole;
  }
  if (is_abandoned || answer == Answer::kAborted) return cut();
  if (is_answer_queued_) return;
  if (answer == Answer::kNone && !is_abandoned_unanswered) return resume();
  if (phase_ == Phase::kBody) {
    // Answered before its body was there: the rest of that is thrown away.
    is_keep_alive_ = false;
    phase_ = Phase::kRefusing;
    deadline_ = 0;
  }
  if (answer == Answer::kNone) {
    return send_whole(error_response(500, "internal_error", "the request was not answered"));
  }
  if (answer == Answer::kWhole) return send_whole(std::move(response));
  if (!is_head_sent_) send_head(response, true);
  if (flight_->head.method != "HEAD") {
    if (framing_ == BodyFraming::kToEnd) {
      send(std::move(pending));
    } else {
      std::string chunk;
      if (!pending.empty()) append_chunk(pending, &chunk);
      if (answer == Answer::kEnded) chunk += kLastChunk;
      send(std::move(chunk));
    }
  }
  is_answer_queued_ = answer == Answer::kEnded;
  flush();
}

void Connection::send_head(const HttpResponse& response, bool is_stream) {
  if (is_stream) {
    framing_ = flight_->head.version >= 11 ? BodyFraming::kChunked : BodyFraming::kToEnd;
    if (framing_ == BodyFraming::kToEnd) is_keep_alive_ = false;
  }
  if (core_.is_draining() || (is_read_closed_ && in_.empty())) is_keep_alive_ = false;
  std::string head = response_head(response,
                                   {.framing = framing_,
                                    .request_version = flight_->head.version,
                                    .is_keep_alive = is_keep_alive_},
                                   core_.date());
  head.erase(0, std::exchange(probed_bytes_, 0));
  is_head_sent_ = true;
  status_ = response.status;
  send(std::move(head));
}

void Connection::send_whole(HttpResponse response) {
  send_head(response, false);
  const bool has_body =
      flight_->head.method != "HEAD" && response.status != 204 && response.status != 304;
  if (has_body) send(std::move(response.body));
  is_answer_queued_ = true;
  flush();
}

void Connection::send(std::string bytes) {
  if (bytes.empty()) return;
  out_bytes_ += bytes.size();
  if (!out_.empty() && out_.back().size() + bytes.size() <= kJoinedBytesMax) {
    out_.back() += bytes;
  } else {
    out_.push_back(std::move(bytes));
  }
}

// Makes the next piece of output ready to be sent. False when there is none.
bool Connection::load_wire() {
  wire_.clear();
  wire_offset_ = 0;
  if (out_.empty()) {
    if (wire_.capacity() > kJoinedBytesMax)
      std::string().swap(wire_);  // an idle connection is small
    return false;
  }
  if (!tls_) {
    wire_ = std::move(out_.front());
    out_bytes_ -= wire_.size();
    out_.pop_front();
    return true;
  }
  const std::string_view piece =
      std::string_view(out_.front()).substr(out_offset_, kJoinedBytesMax);
  out_bytes_ -= piece.size();
  out_offset_ += piece.size();
  const bool is_encrypted = tls_->send(piece, &wire_);
  if (out_offset_ == out_.front().size()) {
    out_.pop_front();
    out_offset_ = 0;
  }
  return is_encrypted;
}

// What a slow reader is judged by: everything that was fetched from the flight and not sent.
void Connection::note_unsent() {
  if (!flight_) return;
  flight_->note_unsent(out_bytes_ + wire_.size() - wire_offset_);
}

void Connection::flush() {
  if (phase_ == Phase::kClosed) return;
  if (is_writing_) return note_unsent();
  while (wire_offset_ < wire_.size() || load_wire()) {
    const std::string_view rest = std::string_view(wire_).substr(wire_offset_);
    const ssize_t sent =
        ::send(socket_.native_handle(), rest.data(), rest.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0) {
      metrics().http_sent_bytes.add(static_cast<std::uint64_t>(sent));
      write_deadline_ = 0;
      wire_offset_ += static_cast<std::size_t>(sent);
      continue;
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return on_reset();
    is_writing_ = true;
    if (write_deadline_ == 0) write_deadline_ = core_.now() + core_.options().write_seconds;
    socket_.async_wait(asio::socket_base::wait_write,
                       [self = shared_from_this()](const boost::system::error_code& ec) {
                         self->is_writing_ = false;
                         if (!ec) self->flush();
                       });
    break;
  }
  note_unsent();
  if (wire_.empty()) on_sent();
}

void Connection::on_sent() {
  if (phase_ == Phase::kLinger) {
    ::shutdown(socket_.native_handle(), SHUT_WR);
    return;
  }
  if (!is_answer_queued_) return;
  if (phase_ == Phase::kRefusing) return begin_linger();
  if (phase_ == Phase::kAnswering) next_request();
}

void Connection::next_request() {
  if (!is_keep_alive_) return begin_linger();
  detach_flight();
  parser_.reset();
  phase_ = Phase::kHead;
  is_head_begun_ = is_answered_early_ = is_answer_queued_ = false;
  idle_since_ = core_.now();
  deadline_ = idle_since_ + core_.options().idle_seconds;
  if (in_.empty() && !is_read_closed_) return wait_readable();
  // Not here and now: a client that sends many small requests at once must not fill the stack.
  asio::post(core_.io(), [self = shared_from_this()] { self->resume(); });
}

void Connection::begin_linger() {
  detach_flight();
  in_.clear();
  phase_ = Phase::kLinger;
  const double now = core_.now();
  linger_end_ = now + kLingerSecondsMax;
  deadline_ = now + kLingerSeconds;
  if (tls_) tls_->end(&wire_);
  flush();
  if (is_read_closed_ && wire_.empty()) return close();
  wait_readable();
}

void Connection::detach_flight() {
  if (!flight_) return;
  flight_->connection = nullptr;
  const bool is_sent = is_answer_queued_ && out_.empty() && wire_offset_ == wire_.size();
  // Without a serial the head could not be read, and nobody was told of it.
  if (flight_->head.serial != 0) {
    core_.handler().on_end(flight_->head,
                           {.status = is_head_sent_ ? status_ : 0, .is_complete = is_sent});
  }
  flight_.reset();
  core_.active_requests.fetch_sub(1);
}

void Connection::close() {
  if (phase_ == Phase::kClosed) return;
  phase_ = Phase::kClosed;
  detach_flight();
  boost::system::error_code ignored;
  socket_.close(ignored);
  core_.remove(*this);
}

}  // namespace paring::net::detail
