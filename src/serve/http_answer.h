// SPDX-License-Identifier: Apache-2.0
// HttpAnswer: writes one answer to a client, streamed or whole, in the bytes of its protocol.
// Confined to the thread that receive() is called on; made on any.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "net/http_server.h"
#include "serve/delivery.h"
#include "store/traffic_rows.h"

namespace paring::serve {

class CapturedContent;
class Ticket;

class HttpAnswer : public AnswerReceiver, public std::enable_shared_from_this<HttpAnswer> {
 public:
  // The response to an error that came before anything was sent.
  using ErrorResponse = std::function<net::HttpResponse(const ApiError&)>;
  // Ends what is still being computed, since nobody wants it.
  using Cancel = std::function<void()>;
  // Calls what it is given, which sends the end of the answer, at once or later on the same thread.
  using BeforeEnd = std::function<void(std::function<void()> send)>;

  HttpAnswer(std::shared_ptr<net::Exchange> exchange, std::unique_ptr<AnswerWriter> writer,
             std::size_t choices, bool streams, std::vector<net::HttpHeader> headers,
             std::shared_ptr<Ticket> ticket, ErrorResponse error_response, Cancel cancel,
             BeforeEnd before_end);

  // Before anything is received: one more header, and whether what comes was computed for another
  // and is not charged.
  void set_header(net::HttpHeader header) { headers_.push_back(std::move(header)); }
  void set_free(store::TrafficCache from);

  // Keeps what is received for the request's row; null: not.
  void set_content(std::shared_ptr<CapturedContent> content) { content_ = std::move(content); }

  void receive(std::vector<AnswerEvent> events, const std::optional<AnswerUsage>& usage) override;

 private:
  void stream(const std::vector<AnswerEvent>& events);
  void collect(std::vector<AnswerEvent> events);
  void fail(const ApiError& error);
  void send_end(const AnswerUsage& usage);

  std::shared_ptr<net::Exchange> exchange_;
  std::unique_ptr<AnswerWriter> writer_;
  bool streams_;
  std::vector<net::HttpHeader> headers_;
  ErrorResponse error_response_;
  std::shared_ptr<Ticket> ticket_;
  Cancel cancel_;
  BeforeEnd before_end_;
  std::shared_ptr<CapturedContent> content_;
  std::size_t generated_ = 0;
  std::vector<AnswerChoice> choices_;  // of an answer that is not streamed
  std::size_t choice_count_;
  bool is_free_ = false;
  bool has_begun_ = false;
  bool has_ended_ = false;
};

}  // namespace paring::serve
