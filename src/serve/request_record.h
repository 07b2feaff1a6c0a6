// SPDX-License-Identifier: Apache-2.0
// RequestRecord: what is known of one request over HTTP, for its one line in the log and its row
// in the database of traffic: ids, route, status, whose key, tokens, times. Never a key, a header's
// value or, in the log, text of a prompt or answer.
// The line is written when the last who works on the request lets go of its record, by a thread of
// its own: a log that nobody reads, a full pipe, must not hold up who sends answers.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

#include "base/clock.h"
#include "net/http_server.h"
#include "serve/answer.h"
#include "serve/task_thread.h"
#include "serve/trace_context.h"
#include "store/traffic_rows.h"

namespace paring::serve {

class CapturedContent;

// Which side of which trial of a change a request is on (canary/trial.h); of no trial: 0.
struct TrialPlace {
  std::int64_t trial = 0;
  bool is_changed = false;
  // The trial is of the cache of answers: whether this side is given answers of it. Both sides'
  // are kept, so that it gives what it would if all were given them.
  std::optional<bool> reads_cache = std::nullopt;
};

// Which requests get a line. Probes and scrapes that succeed have one at the level debug only.
enum class AccessLog : std::uint8_t { kAll, kFailed, kOff };

struct RequestFacts {
  std::string id;  // of x-request-id
  TraceContext trace;
  std::string method;
  std::string path;             // of no route: as sent, without its query
  bool is_work = false;         // a model computes for it: the request has a row
  const char* route = nullptr;  // "/v1/models/{model}"; null: there is none
  std::string remote_address;
  std::string key_id;  // empty: nobody's, or refused before that was known
  std::string tenant;
  std::string user;      // as the client names them
  std::string model;     // the server's name of it
  std::string variant;   // of what computed
  double started_s = 0;  // since 1970: the head was read
  store::TrafficCache cache = store::TrafficCache::kNone;
  const char* ending = "";  // of the choice that ended first: "stop", "length", ...; or "cancelled"
  std::string error_code;   // of the API; empty: no error was answered
  std::optional<AnswerUsage> usage;           // absent: nothing was computed
  bool is_given_again = false;                // by the cache of whole answers
  std::optional<double> first_token_seconds;  // since the head was read, as are the following
  double seconds = 0;
  net::RequestEnd end;
  std::string prompt_version;                // as the client names it
  store::TrafficPromptMarks marks;           // of the prompt; empty: none were made
  std::shared_ptr<CapturedContent> content;  // null: none is kept. Taken by the row
  TrialPlace trial;
};

// The id of a request: the client's own (x-request-id) where it is harmless, else one of ours.
std::string request_id_of(const net::HttpHead& head);

// "request id=... trace=... status=200 ...": name=value, a value in quotes where it has blanks.
std::string access_line(const RequestFacts& facts);

// Writes lines, as many as come while the log takes them. Thread-safe.
class RequestLog {
 public:
  // Told of every request that ends, line or none, on the thread that let go of it last.
  using Observer = std::function<void(const RequestFacts&)>;
  explicit RequestLog(AccessLog which) : which_(which) {}
  // Before requests come; empty: nobody.
  void set_observer(Observer observer) { observer_ = std::move(observer); }
  // Writes what was given before.
  ~RequestLog();
  RequestLog(const RequestLog&) = delete;
  RequestLog& operator=(const RequestLog&) = delete;

  // Returns at once. With kLinesMax lines waiting this one is left out, and counted in a later one.
  void write(RequestFacts facts);
  // Waits until what was given before is written.
  void finish() { thread_.finish(); }

  static constexpr std::size_t kLinesMax = 4096;

 private:
  AccessLog which_;
  Observer observer_;
  std::atomic<std::size_t> waiting_{0};
  std::atomic<std::size_t> left_out_{0};
  TaskThread thread_{thread_names::kLog};
};

// Setters are for one thread each: set_caller, set_user, set_model and set_trial for who reads the
// request, the others for who writes its answer.
class RequestRecord {
 public:
  // `log` must outlive this.
  RequestRecord(const net::HttpHead& head, const char* route, RequestLog& log, const Clock& clock);
  ~RequestRecord() { log_.write(std::move(facts_)); }
  RequestRecord(const RequestRecord&) = delete;
  RequestRecord& operator=(const RequestRecord&) = delete;

  const std::string& id() const noexcept { return facts_.id; }
  const TraceContext& trace() const noexcept { return facts_.trace; }
  const std::string& remote_address() const noexcept { return facts_.remote_address; }

  void set_is_work(bool is_work = true) { facts_.is_work = is_work; }
  bool is_work() const noexcept { return facts_.is_work; }
  void set_caller(const std::string& key_id, const std::string& tenant) {
    facts_.key_id = key_id;
    facts_.tenant = tenant;
  }
  void set_user(const std::string& user) { facts_.user = user; }
  const std::string& user() const noexcept { return facts_.user; }
  void set_prompt_version(const std::string& version) { facts_.prompt_version = version; }
  void set_marks(store::TrafficPromptMarks marks) { facts_.marks = std::move(marks); }
  void set_model(const std::string& model, const std::string& variant) {
    facts_.model = model;
    facts_.variant = variant;
  }
  void set_trial(const TrialPlace& place) { facts_.trial = place; }
  const TrialPlace& trial() const noexcept { return facts_.trial; }
  // Before the answer begins. Who writes it adds to it.
  void set_content(std::shared_ptr<CapturedContent> content) {
    facts_.content = std::move(content);
  }
  const std::shared_ptr<CapturedContent>& content() const noexcept { return facts_.content; }
  void set_cache(store::TrafficCache cache) { facts_.cache = cache; }
  // Of a choice: that of the first stays, unless one is cancelled.
  void set_ending(AnswerEnd end);
  void set_error(const std::string& code);
  // A first token is there. Later calls are without effect.
  void note_token();
  void set_usage(const AnswerUsage& usage, bool is_given_again);
  void set_end(const net::RequestEnd& end);
  // For the thread that writes the answer, at its end: what is known so far. No row is made of it
  // later.
  RequestFacts take_row();

 private:
  double elapsed() const noexcept { return clock_.monotonic_seconds() - begin_; }

  // What the thread that hears of the end writes, while another may write the answer.
  std::mutex end_mutex_;
  RequestFacts facts_;
  RequestLog& log_;
  const Clock& clock_;
  double begin_;
};

// The records of requests that are open on a server; must outlive them. Thread-safe.
class RequestRecords {
 public:
  explicit RequestRecords(AccessLog which, const Clock& clock = system_clock())
      : log_(which), clock_(clock) {}
  RequestLog& log() noexcept { return log_; }
  std::shared_ptr<RequestRecord> begin(const net::HttpHead& head, const char* route);
  // Null for a head that was never begun.
  std::shared_ptr<RequestRecord> find(const net::HttpHead& head) const;
  void end(const net::HttpHead& head, const net::RequestEnd& end);

 private:
  RequestLog log_;
  const Clock& clock_;
  mutable std::mutex mutex_;
  std::unordered_map<std::uint64_t, std::shared_ptr<RequestRecord>> open_;  // by serial
};

}  // namespace paring::serve
