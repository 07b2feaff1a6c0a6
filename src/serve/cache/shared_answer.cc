// SPDX-License-Identifier: Apache-2.0
#include "serve/cache/shared_answer.h"

#include <algorithm>
#include <utility>

namespace paring::serve {

namespace {

std::size_t bytes_of(const AnswerEvent& event) {
  std::size_t bytes = sizeof event + event.delta.content.size() + event.delta.reasoning.size();
  for (const ToolCallDelta& call : event.delta.tool_calls) {
    bytes += sizeof call + call.id.size() + call.name.size() + call.arguments.size();
  }
  for (const TokenDetail& token : event.delta.tokens) {
    bytes += sizeof token + token.token.bytes.size();
    for (const TokenText& top : token.top) bytes += sizeof top + top.bytes.size();
  }
  return bytes;
}

// What may not be given again: an answer that failed or was broken off.
bool is_failure(const AnswerEvent& event) {
  return event.ending && (event.ending->error || event.ending->end == AnswerEnd::kCancelled);
}

}  // namespace

void SharedAnswer::receive(std::vector<AnswerEvent> events,
                           const std::optional<AnswerUsage>& usage) {
  for (const AnswerEvent& event : events) {
    has_failed_ = has_failed_ || is_failure(event);
    bytes_ += bytes_of(event);
  }
  if (bytes_ > bytes_max_) {
    is_whole_ = false;
    events_.clear();
  }
  // Who hears of it may leave at once.
  const std::vector<std::shared_ptr<AnswerReceiver>> listeners = listeners_;
  if (!is_whole_ && listeners.size() == 1) {
    listeners[0]->receive(std::move(events), usage);
  } else {
    for (const auto& listener : listeners) listener->receive(events, usage);
    if (is_whole_) std::move(events.begin(), events.end(), std::back_inserter(events_));
  }
  usage_ = usage;
  // Nothing comes any more, and the cache may keep this for an hour: who heard it is let go of, and
  // with them their place among the requests that are served.
  if (usage_) listeners_.clear();
  if (has_ended_ || !(usage_ || has_failed_)) return;
  has_ended_ = true;
  on_end_(*this);
}

void SharedAnswer::join(const std::shared_ptr<AnswerReceiver>& receiver) {
  if (payer_ == nullptr) payer_ = receiver.get();
  if (!events_.empty() || usage_) receiver->receive(events_, usage_);
  if (!usage_) listeners_.push_back(receiver);
}

std::string SharedAnswer::text() const {
  std::string text;
  for (const AnswerEvent& event : events_) text += event.delta.content;
  return text;
}

void SharedAnswer::leave(const AnswerReceiver& receiver) {
  if (&receiver == payer_) {
    has_payer_left_ = true;
  } else {
    std::erase_if(listeners_, [&](const auto& each) { return each.get() == &receiver; });
  }
  const std::size_t left = has_payer_left_ ? 1 : 0;
  if (listeners_.size() > left || has_ended_) return;
  listeners_.clear();
  has_ended_ = true;
  is_whole_ = false;  // nobody joins what is about to be cancelled
  on_deserted_();
}

}  // namespace paring::serve
