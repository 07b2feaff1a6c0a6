// SPDX-License-Identifier: Apache-2.0
// One request on its way to its answer: what an Exchange (any thread) and a connection (the I/O
// thread) share, and the queue through which the one wakes the other.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "net/http_message.h"
#include "net/http_server.h"

namespace paring::net::detail {

class Connection;
struct Flight;

// What waits for the I/O thread. Outlives the server when an Exchange does.
class ReadyQueue {
 public:
  // `wake` makes the I/O thread call take() soon; called when the queue stops being empty.
  explicit ReadyQueue(std::function<void()> wake);

  // False after close(). Thread-safe.
  bool add(std::shared_ptr<Flight> flight);
  bool add(std::function<void()> task);
  void close();

  struct Work {
    std::vector<std::function<void()>> tasks;
    std::vector<std::shared_ptr<Flight>> flights;
  };
  // Everything that waits. Of the I/O thread.
  Work take();

 private:
  template <typename List, typename Item>
  bool add_to(List Work::* list, Item item);

  std::mutex mutex_;
  std::function<void()> wake_;
  Work work_;
  bool is_closed_ = false;
};

// Memory of bodies, over all requests of a server. Thread-safe.
class BodyMemory {
 public:
  // `address_bytes_max`: what one address may have of it.
  BodyMemory(std::size_t bytes_max, std::size_t address_bytes_max)
      : bytes_max_(bytes_max), address_bytes_max_(address_bytes_max) {}
  // False when that would be too much, of all or of the address: then nothing is taken.
  bool take(const std::string& address, std::size_t bytes);
  void give(const std::string& address, std::size_t bytes) noexcept;

 private:
  const std::size_t bytes_max_;
  const std::size_t address_bytes_max_;
  std::mutex mutex_;
  std::size_t used_ = 0;
  std::unordered_map<std::string, std::size_t> used_of_address_;  // without those that have none
};

// How the answer stands, as told by the application.
enum class Answer {
  kNone,
  kWhole,      // respond()
  kStreaming,  // begin_stream()
  kEnded,      // end_stream()
  kAborted,
};

struct Flight {
  ~Flight();

  // Constant once the application has it.
  HttpHead head;
  std::string body;
  std::shared_ptr<ReadyQueue> queue;
  std::shared_ptr<BodyMemory> memory;
  std::size_t stream_buffer_bytes = 0;

  // Of the I/O thread: null when the connection is gone.
  Connection* connection = nullptr;

  // Under `mutex` from here on.
  mutable std::mutex mutex;
  Answer answer = Answer::kNone;
  bool is_gone = false;           // the client is; nothing more will be sent
  bool is_overrun = false;        // more than stream_buffer_bytes were unsent: to be cut
  bool is_abandoned = false;      // the Exchange was dropped unanswered
  bool is_queued = false;         // in `queue`
  HttpResponse response;          // the whole one, or the head of the stream
  std::string pending;            // bytes of the stream that the I/O thread has not fetched
  std::size_t in_connection = 0;  // bytes that it has fetched and not sent
  std::size_t reserved = 0;       // of `memory`
  std::function<void()> on_gone;
  std::function<void()> on_sent;
  // Of a body that is streamed.
  bool is_body_streamed = false;
  bool is_body_complete = false;
  std::string body_pending;  // came and was not read
  std::function<void(std::string)> body_reader;

  // Of the I/O thread: more of a streamed body has come, `is_end`: all of it.
  void add_body(std::string_view bytes, bool is_end);
  // Whether as much waits to be read as may.
  bool is_body_full() const;
  // How many bytes the connection has not sent. Calls on_sent when it is none.
  void note_unsent(std::size_t bytes);

  // Marks the client as gone and calls on_gone, outside the lock, if the answer was not complete.
  // True if it was called for that reason.
  bool mark_gone();
  // Nothing will be answered any more and nobody is told: the server's own answer took the place.
  void release_reserved() noexcept;
};

// An Exchange over a connection.
class FlightExchange final : public Exchange {
 public:
  explicit FlightExchange(std::shared_ptr<Flight> flight) : flight_(std::move(flight)) {}
  ~FlightExchange() override;
  FlightExchange(const FlightExchange&) = delete;
  FlightExchange& operator=(const FlightExchange&) = delete;

  const HttpHead& head() const noexcept override { return flight_->head; }
  std::string& body() noexcept override { return flight_->body; }
  void release_body() noexcept override;
  void read_body(std::function<void(std::string)> callback) override;
  bool respond(HttpResponse response) override;
  bool begin_stream(int status, std::string content_type, std::vector<HttpHeader> headers) override;
  bool write(std::string bytes) override;
  void end_stream() override;
  void on_sent(std::function<void()> callback) override;
  void cut() override;
  void on_gone(std::function<void()> callback) override;
  bool is_gone() const noexcept override;

 private:
  std::shared_ptr<Flight> flight_;
};

}  // namespace paring::net::detail
