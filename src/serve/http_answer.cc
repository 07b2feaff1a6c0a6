// SPDX-License-Identifier: Apache-2.0
#include "serve/http_answer.h"

#include <utility>

#include "serve/captured_content.h"
#include "serve/server.h"

namespace paring::serve {

HttpAnswer::HttpAnswer(std::shared_ptr<net::Exchange> exchange,
                       std::unique_ptr<AnswerWriter> writer, std::size_t choices, bool streams,
                       std::vector<net::HttpHeader> headers, std::shared_ptr<Ticket> ticket,
                       ErrorResponse error_response, Cancel cancel, BeforeEnd before_end)
    : exchange_(std::move(exchange)),
      writer_(std::move(writer)),
      streams_(streams),
      headers_(std::move(headers)),
      error_response_(std::move(error_response)),
      ticket_(std::move(ticket)),
      cancel_(std::move(cancel)),
      before_end_(std::move(before_end)),
      choices_(streams ? 0 : choices),
      choice_count_(choices) {}

void HttpAnswer::set_free(store::TrafficCache from) {
  is_free_ = true;
  ticket_->note_cache(from);
}

void HttpAnswer::receive(std::vector<AnswerEvent> events, const std::optional<AnswerUsage>& usage) {
  if (content_ != nullptr) content_->add(events);
  // What was computed is charged, whoever still listens.
  for (const AnswerEvent& event : events) generated_ += is_free_ ? 0 : event.generated;
  if (usage) {
    is_free_ ? ticket_->settle_free(*usage) : ticket_->settle(*usage);
  } else if (!ticket_->note(generated_)) {
    cancel_();
  }
  for (const AnswerEvent& event : events) {
    if (event.ending) ticket_->note_ending(*event.ending);
  }
  if (has_ended_) return;
  for (const AnswerEvent& event : events) {
    if (event.ending && event.ending->error) return fail(*event.ending->error);
  }
  if (streams_) {
    stream(events);
  } else {
    collect(std::move(events));
  }
  if (!usage) return;
  has_ended_ = true;
  before_end_([self = shared_from_this(), usage = *usage] { self->send_end(usage); });
}

void HttpAnswer::send_end(const AnswerUsage& usage) {
  if (streams_) {
    exchange_->write(writer_->finish(usage));
    exchange_->end_stream();
  } else {
    exchange_->respond({.status = 200,
                        .content_type = writer_->content_type(false),
                        .headers = std::move(headers_),
                        .body = writer_->whole(choices_, usage)});
  }
}

void HttpAnswer::stream(const std::vector<AnswerEvent>& events) {
  std::string bytes;
  if (!has_begun_) {
    has_begun_ = true;
    exchange_->begin_stream(200, writer_->content_type(true), std::move(headers_));
    bytes += writer_->begin(choice_count_);
  }
  for (const AnswerEvent& event : events) {
    bytes += writer_->delta(event.choice, event.delta);
    if (event.ending) bytes += writer_->end(event.choice, *event.ending);
  }
  if (!bytes.empty()) exchange_->write(std::move(bytes));
}

void HttpAnswer::collect(std::vector<AnswerEvent> events) {
  for (AnswerEvent& event : events) {
    AnswerChoice& choice = choices_[event.choice];
    choice.content += event.delta.content;
    choice.reasoning += event.delta.reasoning;
    for (ToolCallDelta& call : event.delta.tool_calls) {
      if (choice.tool_calls.empty() || choice.tool_calls.back().index != call.index) {
        choice.tool_calls.push_back(std::move(call));
      } else {
        choice.tool_calls.back().arguments += call.arguments;
      }
    }
    std::move(event.delta.tokens.begin(), event.delta.tokens.end(),
              std::back_inserter(choice.tokens));
    if (event.ending) choice.ending = *event.ending;
  }
}

void HttpAnswer::fail(const ApiError& error) {
  has_ended_ = true;
  ticket_->note_error(error);
  if (has_begun_) {
    exchange_->write(writer_->fail(error));
    exchange_->end_stream();
  } else {
    exchange_->respond(error_response_(error));
  }
  cancel_();
}

}  // namespace paring::serve
