// SPDX-License-Identifier: Apache-2.0
// One request through a proxy: what is known of it (Passage), and its answer on the way back
// (Relay).
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "monitor/content_filter.h"
#include "monitor/usage_reader.h"
#include "net/http_server.h"
#include "net/upstream_client.h"
#include "serve/request_record.h"
#include "store/traffic_rows.h"

namespace paring::serve {

// Members are written by one thread each: who reads the request, who relays the answer, and the
// I/O thread, which hears of the end. Who lets go of it last reads them all, in `on_last`.
class Passage {
 public:
  using OnLast = std::function<void(Passage&)>;
  explicit Passage(OnLast on_last) : on_last_(std::move(on_last)) {}
  ~Passage() {
    if (on_last_) on_last_(*this);
  }
  Passage(const Passage&) = delete;
  Passage& operator=(const Passage&) = delete;

  double begin = 0;            // monotonic
  bool is_local = false;       // answered by the proxy itself
  bool is_counted_in = false;  // among the requests that are open
  RequestFacts facts;

  // What passed, as it passed: the body of the request and, as far as it came, the answer. Absent:
  // no content is kept of it.
  std::optional<store::TrafficContent> content;
  std::optional<monitor::ContentRoom> content_room;

  // Of the answer.
  store::TrafficTokens tokens;
  bool has_answer = false;    // a head came
  bool is_counted = false;    // tokens by chunks
  bool has_said_end = false;  // a stream, all of which was sent on
  std::string answering_model;
  std::string ending;
  std::string error_code;
  std::optional<net::UpstreamFailure> failure;
  std::optional<double> first_token_seconds;
  std::optional<double> last_token_seconds;
  std::vector<std::int64_t> gaps;  // microseconds

  static constexpr std::size_t kGapsMax = std::size_t{1} << 16;

 private:
  OnLast on_last_;
};

store::TrafficRequest passage_row(const Passage& passage);

class Relay final : public net::UpstreamSink {
 public:
  Relay(std::shared_ptr<net::Exchange> exchange, std::shared_ptr<Passage> passage,
        std::vector<net::HttpHeader> own_headers);
  // Asks for more after kWait. Before anything comes.
  void set_resume(std::function<void()> resume) { resume_ = std::move(resume); }

  Wish on_head(int status, std::vector<net::HttpHeader> headers) override;
  Wish on_bytes(std::string_view bytes) override;
  void on_end(const net::UpstreamEnd& end) override;

 private:
  // Unsent bytes from which on the upstream waits for the client.
  static constexpr std::size_t kUnsentMax = std::size_t{256} << 10;
  // Answers of a known length up to this are sent whole, so that one that breaks is an error.
  static constexpr std::size_t kWholeMax = std::size_t{64} << 10;
  // Of a line of an event that has not ended: a client cannot read it yet either.
  static constexpr std::size_t kLineMax = std::size_t{64} << 10;

  void read(std::string_view bytes);
  bool write(std::string bytes);
  void fail(const net::UpstreamEnd& end);

  const std::shared_ptr<net::Exchange> exchange_;
  const std::shared_ptr<Passage> passage_;
  std::vector<net::HttpHeader> own_headers_;
  std::function<void()> resume_;
  std::optional<monitor::UsageReader> reader_;
  bool is_events_ = false;
  bool is_whole_ = false;  // sent whole
  bool has_begun_ = false;
  net::HttpResponse response_;  // the whole answer
  std::string line_;            // held back
  std::shared_ptr<std::atomic<std::size_t>> unsent_ = std::make_shared<std::atomic<std::size_t>>(0);
};

}  // namespace paring::serve
