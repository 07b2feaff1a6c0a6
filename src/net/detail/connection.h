// SPDX-License-Identifier: Apache-2.0
// One connection: reads requests one after the other, sends each answer, notices when the client
// goes. All of it on the I/O thread. Bytes become requests in request_parser.h; what an answer is,
// the application says through a Flight.
//
// Reading never stops while there is room, also while an answer is computed: that is how a client
// that left is noticed, and where a pipelined request waits for its turn.
#pragma once

#include <array>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "net/detail/flight.h"
#include "net/detail/request_parser.h"
#include "net/detail/response_text.h"
#include "net/detail/tls.h"
#include "net/http_server.h"

namespace paring::net::detail {

class ServerCore;

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  using Socket = boost::asio::basic_stream_socket<boost::asio::generic::stream_protocol,
                                                  boost::asio::io_context::executor_type>;

  // `tls` is null for plain HTTP.
  Connection(ServerCore& core, Socket socket, std::string peer_address,
             std::unique_ptr<TlsSession> tls);
  ~Connection();

  void start();
  // The application has done something to this connection's flight.
  void service();
  // Looks at the deadlines.
  void tick(double now);
  // No further request after the present one; closes when there is none.
  void begin_drain();
  // Ends it at once; a request that is not answered is told that its client is gone.
  void cut();
  bool is_answering() const noexcept { return flight_ != nullptr; }
  // Waits for the first byte of a request, since then.
  bool is_idle() const noexcept { return phase_ == Phase::kHead && !is_head_begun_; }
  double idle_since() const noexcept { return idle_since_; }
  const std::string& peer_address() const noexcept { return peer_address_; }

  std::list<std::shared_ptr<Connection>>::iterator place;  // in the core's list

 private:
  enum class Phase {
    kHead,       // between requests, or reading a head
    kBody,       // reading a body
    kAnswering,  // the request is complete, its answer is not sent
    kRefusing,   // the answer is being sent, the rest of the request is thrown away
    kLinger,     // our side is closed; until the client's is, lest a reset eats the answer
    kClosed,
  };

  // How long a client may stay silent after the last answer.
  static constexpr double kLingerSeconds = 3;

  void wait_readable();
  void on_readable();
  void take_encrypted(std::string_view fresh);
  void take_in(std::string_view fresh);
  std::size_t advance(std::string_view data);
  bool advance_head(std::string_view rest, std::size_t* used);
  bool advance_body(std::string_view rest, std::size_t* used);
  void resume();
  void on_eof();
  void on_reset();
  void probe();
  void watch_errors();

  void begin_request();
  void expect_body(const BodyLimit& limit);
  bool is_body_paused() const;
  bool reserve_body(std::uint64_t bytes);
  void answer_early(HttpResponse response);
  void request_complete();
  void dispatch();
  void refuse(const Refusal& why);
  HttpResponse error_response(int status, std::string_view code, std::string_view message);

  void send_head(const HttpResponse& response, bool is_stream);
  void send_whole(HttpResponse response);
  void send(std::string bytes);
  bool load_wire();
  void note_unsent();
  void flush();
  void on_sent();
  void next_request();
  void begin_linger();
  void detach_flight();
  void close();

  ServerCore& core_;
  Socket socket_;
  const std::string peer_address_;
  std::unique_ptr<TlsSession> tls_;
  bool is_tls_begun_ = false;  // its first byte has come
  RequestParser parser_;
  Phase phase_ = Phase::kHead;
  std::string in_;  // bytes that came and were not parsed

  bool is_reading_ = false;      // a wait is pending
  bool is_read_closed_ = false;  // the client sends nothing more
  bool is_watching_errors_ = false;
  bool is_head_begun_ = false;       // a byte of the head has come
  bool is_keep_alive_ = false;       // as far as the present request goes
  bool is_answered_early_ = false;   // the answer did not wait for the body
  bool is_quick_ = false;            // the application answers on this thread
  bool is_streaming_body_ = false;   // the application has the request and reads its body
  std::optional<double> paused_at_;  // last look at a streamed body that nobody reads
  std::size_t requests_ = 0;
  double idle_since_ = 0;
  double deadline_ = 0;  // of the phase; 0: none
  double body_begin_ = 0;
  double linger_end_ = 0;
  std::uint64_t lingered_bytes_ = 0;

  std::shared_ptr<Flight> flight_;
  BodyFraming framing_ = BodyFraming::kLength;
  bool is_head_sent_ = false;      // queued, at least
  int status_ = 0;                 // of that head
  bool is_answer_queued_ = false;  // to its last byte
  std::size_t probed_bytes_ = 0;   // of the response's head

  std::deque<std::string> out_;  // as the client is to read it
  std::size_t out_bytes_ = 0;    // in out_
  std::size_t out_offset_ = 0;   // bytes of out_.front() that are encrypted already
  std::string wire_;             // what is being sent, encrypted with TLS
  std::size_t wire_offset_ = 0;  // of it that is sent
  bool is_writing_ = false;      // waits until more can be sent
  double write_deadline_ = 0;
};

}  // namespace paring::net::detail
