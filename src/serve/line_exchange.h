// SPDX-License-Identifier: Apache-2.0
// LineExchange: a line of a batch as routes see a request. What they answer finishes the line's
// ticket; a client that leaves is a batch that was cancelled. Thread-safe as net::Exchange is.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "net/http_server.h"
#include "serve/answer.h"
#include "serve/batch/line_executor.h"
#include "serve/request_record.h"

namespace paring::serve {

class LineExchange final : public net::Exchange {
 public:
  // `place` is held as long as this lives.
  LineExchange(LineRequest request, std::shared_ptr<LineTicket> ticket,
               std::shared_ptr<const void> place = nullptr);

  // Before it is served: is told the status of the answer.
  void set_record(std::shared_ptr<RequestRecord> record) { record_ = std::move(record); }
  // What is charged for the line, before it is answered.
  void note_usage(const AnswerUsage& usage);

  const net::HttpHead& head() const noexcept override { return head_; }
  std::string& body() noexcept override { return body_; }
  void release_body() noexcept override { std::string().swap(body_); }
  void read_body(std::function<void(std::string)> callback) override;
  // 429 and 503 that say when to come back are no answers: the line is tried again.
  bool respond(net::HttpResponse response) override;
  // Lines are not streamed: false, and the line fails.
  bool begin_stream(int status, std::string content_type,
                    std::vector<net::HttpHeader> headers) override;
  bool write(std::string bytes) override;
  void end_stream() override {}
  void on_sent(std::function<void()>) override {}
  void cut() override;
  void on_gone(std::function<void()> callback) override { ticket_->on_cancel(std::move(callback)); }
  bool is_gone() const noexcept override { return ticket_->is_cancelled(); }

 private:
  net::HttpHead head_;
  std::string body_;
  std::shared_ptr<LineTicket> ticket_;
  std::shared_ptr<const void> place_;
  std::shared_ptr<RequestRecord> record_;  // may be null
  std::mutex mutex_;
  store::BatchUsage usage_;  // guarded by mutex_
};

}  // namespace paring::serve
