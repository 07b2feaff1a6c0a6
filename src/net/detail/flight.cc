// SPDX-License-Identifier: Apache-2.0
#include "net/detail/flight.h"

#include <utility>

namespace paring::net::detail {

ReadyQueue::ReadyQueue(std::function<void()> wake) : wake_(std::move(wake)) {}

template <typename List, typename Item>
bool ReadyQueue::add_to(List Work::* list, Item item) {
  const std::lock_guard lock(mutex_);
  if (is_closed_) return false;
  const bool was_empty = work_.tasks.empty() && work_.flights.empty();
  (work_.*list).push_back(std::move(item));
  // Under the lock, so that close() waits for it: what it wakes is gone afterwards.
  if (was_empty) wake_();
  return true;
}

bool ReadyQueue::add(std::shared_ptr<Flight> flight) {
  return add_to(&Work::flights, std::move(flight));
}

bool ReadyQueue::add(std::function<void()> task) { return add_to(&Work::tasks, std::move(task)); }

void ReadyQueue::close() {
  Work dropped;  // destroyed without the lock: what it holds may call add()
  const std::lock_guard lock(mutex_);
  is_closed_ = true;
  dropped = std::exchange(work_, {});
}

ReadyQueue::Work ReadyQueue::take() {
  const std::lock_guard lock(mutex_);
  return std::exchange(work_, {});
}

bool BodyMemory::take(const std::string& address, std::size_t bytes) {
  if (bytes == 0) return true;
  const std::lock_guard lock(mutex_);
  if (bytes > bytes_max_ - used_) return false;
  const auto found = used_of_address_.find(address);
  const std::size_t had = found == used_of_address_.end() ? 0 : found->second;
  if (bytes > address_bytes_max_ - had) return false;
  used_of_address_[address] = had + bytes;
  used_ += bytes;
  return true;
}

void BodyMemory::give(const std::string& address, std::size_t bytes) noexcept {
  if (bytes == 0) return;
  const std::lock_guard lock(mutex_);
  used_ -= bytes;
  const auto found = used_of_address_.find(address);
  found->second -= bytes;
  if (found->second == 0) used_of_address_.erase(found);
}

Flight::~Flight() { release_reserved(); }

void Flight::release_reserved() noexcept {
  if (memory) memory->give(head.remote_address, std::exchange(reserved, 0));
}

void Flight::add_body(std::string_view bytes, bool is_end) {
  std::function<void(std::string)> reader;
  std::string piece;
  {
    const std::lock_guard lock(mutex);
    body_pending += bytes;
    is_body_complete = is_end;
    if (!body_reader || (body_pending.empty() && !is_end)) return;
    reader = std::exchange(body_reader, nullptr);
    piece = std::exchange(body_pending, {});
  }
  reader(std::move(piece));
}

bool Flight::is_body_full() const {
  const std::lock_guard lock(mutex);
  return body_pending.size() >= kStreamedBytesMax;
}

void Flight::note_unsent(std::size_t bytes) {
  std::function<void()> callback;
  {
    const std::lock_guard lock(mutex);
    in_connection = bytes;
    if (bytes == 0 && pending.empty()) callback = std::exchange(on_sent, nullptr);
  }
  if (callback) callback();
}

bool Flight::mark_gone() {
  std::function<void()> callback;
  // Destroyed without the lock: they may hold the exchange.
  std::function<void()> sent;
  std::function<void(std::string)> reader;
  bool was_open = false;
  {
    const std::lock_guard lock(mutex);
    if (is_gone) return false;
    is_gone = true;
    was_open = answer == Answer::kNone || answer == Answer::kStreaming;
    callback = std::exchange(on_gone, nullptr);
    sent = std::exchange(on_sent, nullptr);
    reader = std::exchange(body_reader, nullptr);
    pending.clear();
    body_pending.clear();
  }
  if (was_open && callback) callback();
  return was_open;
}

namespace {

// Puts the flight into the queue unless it is there. REQUIRES: flight->mutex is held.
void schedule(const std::shared_ptr<Flight>& flight) {
  if (std::exchange(flight->is_queued, true)) return;
  flight->queue->add(flight);
}

}  // namespace

FlightExchange::~FlightExchange() {
  std::function<void()> callback;  // destroyed without the lock
  const std::lock_guard lock(flight_->mutex);
  callback = std::exchange(flight_->on_gone, nullptr);
  const bool is_open = flight_->answer == Answer::kNone || flight_->answer == Answer::kStreaming;
  if (!is_open || flight_->is_gone) return;
  flight_->is_abandoned = true;
  schedule(flight_);
}

void FlightExchange::release_body() noexcept {
  std::string().swap(flight_->body);
  const std::lock_guard lock(flight_->mutex);
  flight_->release_reserved();
}

void FlightExchange::read_body(std::function<void(std::string)> callback) {
  std::string piece;
  {
    const std::lock_guard lock(flight_->mutex);
    if (flight_->is_gone) return;
    if (!flight_->is_body_streamed) {
      piece = std::exchange(flight_->body, {});
    } else if (flight_->body_pending.empty() && !flight_->is_body_complete) {
      flight_->body_reader = std::move(callback);
      return;
    } else {
      // The connection may wait for room.
      if (flight_->body_pending.size() >= kStreamedBytesMax) schedule(flight_);
      piece = std::exchange(flight_->body_pending, {});
    }
  }
  callback(std::move(piece));
}

bool FlightExchange::respond(HttpResponse response) {
  std::function<void()> callback;
  std::function<void(std::string)> reader;
  const std::lock_guard lock(flight_->mutex);
  if (flight_->is_gone || flight_->answer != Answer::kNone) return false;
  flight_->answer = Answer::kWhole;
  reader = std::exchange(flight_->body_reader, nullptr);
  flight_->response = std::move(response);
  callback = std::exchange(flight_->on_gone, nullptr);
  schedule(flight_);
  return true;
}

bool FlightExchange::begin_stream(int status, std::string content_type,
                                  std::vector<HttpHeader> headers) {
  const std::lock_guard lock(flight_->mutex);
  if (flight_->is_gone || flight_->answer != Answer::kNone) return false;
  flight_->answer = Answer::kStreaming;
  flight_->response = {
      .status = status, .content_type = std::move(content_type), .headers = std::move(headers)};
  schedule(flight_);
  return true;
}

bool FlightExchange::write(std::string bytes) {
  const std::lock_guard lock(flight_->mutex);
  if (flight_->is_gone || flight_->is_overrun || flight_->answer != Answer::kStreaming) {
    return false;
  }
  if (bytes.empty()) return true;
  const std::size_t unsent = flight_->pending.size() + flight_->in_connection;
  if (bytes.size() > flight_->stream_buffer_bytes ||
      unsent > flight_->stream_buffer_bytes - bytes.size()) {
    flight_->is_overrun = true;
    schedule(flight_);
    return false;
  }
  if (flight_->pending.empty()) {
    flight_->pending = std::move(bytes);
  } else {
    flight_->pending += bytes;
  }
  schedule(flight_);
  return true;
}

void FlightExchange::on_sent(std::function<void()> callback) {
  {
    const std::lock_guard lock(flight_->mutex);
    if (flight_->is_gone || flight_->answer != Answer::kStreaming) return;
    if (!flight_->pending.empty() || flight_->in_connection > 0) {
      flight_->on_sent = std::move(callback);
      return;
    }
  }
  callback();
}

void FlightExchange::end_stream() {
  std::function<void()> callback;
  std::function<void()> sent;
  const std::lock_guard lock(flight_->mutex);
  if (flight_->is_gone || flight_->answer != Answer::kStreaming) return;
  flight_->answer = Answer::kEnded;
  sent = std::exchange(flight_->on_sent, nullptr);
  callback = std::exchange(flight_->on_gone, nullptr);
  schedule(flight_);
}

void FlightExchange::cut() {
  std::function<void()> callback;
  std::function<void()> sent;
  std::function<void(std::string)> reader;
  const std::lock_guard lock(flight_->mutex);
  if (flight_->is_gone) return;
  flight_->answer = Answer::kAborted;
  sent = std::exchange(flight_->on_sent, nullptr);
  reader = std::exchange(flight_->body_reader, nullptr);
  callback = std::exchange(flight_->on_gone, nullptr);
  schedule(flight_);
}

void FlightExchange::on_gone(std::function<void()> callback) {
  std::function<void()> replaced;
  {
    const std::lock_guard lock(flight_->mutex);
    if (!flight_->is_gone) {
      const bool is_open =
          flight_->answer == Answer::kNone || flight_->answer == Answer::kStreaming;
      if (is_open) replaced = std::exchange(flight_->on_gone, std::move(callback));
      return;
    }
    // Gone before it was answered: what was set before has been called, this one has not.
  }
  if (callback) callback();
}

bool FlightExchange::is_gone() const noexcept {
  const std::lock_guard lock(flight_->mutex);
  return flight_->is_gone;
}

}  // namespace paring::net::detail
