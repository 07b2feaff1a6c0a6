// SPDX-License-Identifier: Apache-2.0
#include "serve/request_record.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <string_view>
#include <utility>

#include "base/log.h"
#include "base/text.h"

namespace paring::serve {

namespace {

constexpr std::size_t kRequestIdLettersMax = 128;
constexpr std::size_t kIdDigits = 24;
constexpr std::size_t kMethodLettersMax = 16;
constexpr std::size_t kPathBytesMax = 100;
constexpr double kMillisecondsPerSecond = 1000;

const char* ending_name(AnswerEnd end) {
  switch (end) {
    case AnswerEnd::kStop:
    case AnswerEnd::kStopString:
      return "stop";
    case AnswerEnd::kLength:
      return "length";
    case AnswerEnd::kToolCalls:
      return "tool_calls";
    case AnswerEnd::kCancelled:
      return "cancelled";
  }
  return "";
}

// Asked for every few seconds by machines.
bool is_probe(const RequestFacts& facts) {
  constexpr std::string_view kProbes[] = {"/livez", "/readyz", "/health", "/metrics"};
  return facts.route != nullptr &&
         std::find(std::begin(kProbes), std::end(kProbes), facts.route) != std::end(kProbes);
}

bool has_failed(const RequestFacts& facts) {
  constexpr int kFirstError = 400;
  return facts.end.status == 0 || facts.end.status >= kFirstError || !facts.end.is_complete;
}

class Line {
 public:
  void add(std::string_view name, std::string_view value) {
    const bool is_bare = !value.empty() && value.find_first_of(" \"=\\") == std::string_view::npos;
    fmt::format_to(out(), " {}=", name);
    if (is_bare) {
      text_ += value;
      return;
    }
    text_ += '"';
    for (const char c : value) {
      if (c == '"' || c == '\\') text_ += '\\';
      text_ += c;
    }
    text_ += '"';
  }
  void add(std::string_view name, std::size_t value) {
    fmt::format_to(out(), " {}={}", name, value);
  }
  void add_ms(std::string_view name, double seconds) {
    fmt::format_to(out(), " {}={:.1f}", name, seconds * kMillisecondsPerSecond);
  }
  std::string text() && { return std::move(text_); }

 private:
  std::back_insert_iterator<std::string> out() { return std::back_inserter(text_); }
  std::string text_ = "request";
};

}  // namespace

std::string request_id_of(const net::HttpHead& head) {
  const std::string* given = head.find("x-request-id");
  const auto is_plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.' || c == ':';
  };
  if (given != nullptr && !given->empty() && given->size() <= kRequestIdLettersMax &&
      std::all_of(given->begin(), given->end(), is_plain)) {
    return *given;
  }
  return random_hex(kIdDigits);
}

std::string access_line(const RequestFacts& facts) {
  Line line;
  line.add("id", facts.id);
  line.add("trace", facts.trace.trace_id);
  line.add("span", facts.trace.span_id);
  if (!facts.trace.parent_id.empty()) line.add("parent", facts.trace.parent_id);
  line.add("method", facts.method);
  line.add("route", facts.route == nullptr ? "-" : facts.route);
  if (facts.route == nullptr) line.add("path", facts.path);
  line.add("status", static_cast<std::size_t>(facts.end.status));
  if (!facts.end.is_complete) line.add("cut", "yes");
  line.add("from", facts.remote_address);
  if (!facts.key_id.empty()) line.add("key", facts.key_id);
  if (!facts.model.empty()) line.add("model", facts.model);
  if (facts.usage) {
    line.add("prompt_tokens", facts.usage->prompt_tokens);
    line.add("cached_tokens", facts.usage->cached_tokens);
    line.add("answer_tokens", facts.usage->completion_tokens);
  }
  if (facts.is_given_again) line.add("given_again", "yes");
  if (facts.first_token_seconds) line.add_ms("first_token_ms", *facts.first_token_seconds);
  line.add_ms("duration_ms", facts.seconds);
  return std::move(line).text();
}

RequestLog::~RequestLog() { finish(); }

void RequestLog::write(RequestFacts facts) {
  if (observer_) observer_(facts);
  if (which_ == AccessLog::kOff || (which_ == AccessLog::kFailed && !has_failed(facts))) return;
  const LogLevel level = is_probe(facts) && !has_failed(facts) ? LogLevel::kDebug : LogLevel::kInfo;
  if (!is_logged(level)) return;
  if (waiting_.fetch_add(1) >= kLinesMax) {
    waiting_.fetch_sub(1);
    left_out_.fetch_add(1);
    return;
  }
  thread_.post([this, level, facts = std::move(facts)] {
    paring::log(level, access_line(facts));
    waiting_.fetch_sub(1);
    const std::size_t left_out = left_out_.exchange(0);
    if (left_out > 0) {
      log_warning(fmt::format("lines of {} were left out: the log was not read",
                              counted(left_out, "request")));
    }
  });
}

RequestRecord::RequestRecord(const net::HttpHead& head, const char* route, RequestLog& log,
                             const Clock& clock)
    : log_(log), clock_(clock), begin_(clock.monotonic_seconds()) {
  facts_.id = request_id_of(head);
  facts_.trace = trace_of(head);
  facts_.method = head.method.substr(0, kMethodLettersMax);
  facts_.route = route;
  if (route == nullptr) facts_.path = head.path.substr(0, kPathBytesMax);
  facts_.remote_address = head.remote_address;
  facts_.started_s = clock.wall_seconds();
}

void RequestRecord::set_ending(AnswerEnd end) {
  if (*facts_.ending == '\0' || end == AnswerEnd::kCancelled) facts_.ending = ending_name(end);
}

void RequestRecord::set_error(const std::string& code) {
  const std::lock_guard lock(end_mutex_);
  facts_.error_code = code;
}

void RequestRecord::note_token() {
  if (!facts_.first_token_seconds) facts_.first_token_seconds = elapsed();
}

void RequestRecord::set_usage(const AnswerUsage& usage, bool is_given_again) {
  if (usage.completion_tokens > 0) note_token();
  facts_.usage = usage;
  facts_.is_given_again = is_given_again;
}

RequestFacts RequestRecord::take_row() {
  const std::lock_guard lock(end_mutex_);
  RequestFacts facts = facts_;
  facts.seconds = elapsed();
  facts_.is_work = false;
  return facts;
}

void RequestRecord::set_end(const net::RequestEnd& end) {
  const std::lock_guard lock(end_mutex_);
  facts_.end = end;
  facts_.seconds = elapsed();
}

std::shared_ptr<RequestRecord> RequestRecords::begin(const net::HttpHead& head, const char* route) {
  // Shared: by those who work on the request, in their threads and times.
  auto record = std::make_shared<RequestRecord>(head, route, log_, clock_);
  const std::lock_guard lock(mutex_);
  open_[head.serial] = record;
  return record;
}

std::shared_ptr<RequestRecord> RequestRecords::find(const net::HttpHead& head) const {
  const std::lock_guard lock(mutex_);
  const auto found = open_.find(head.serial);
  return found == open_.end() ? nullptr : found->second;
}

void RequestRecords::end(const net::HttpHead& head, const net::RequestEnd& end) {
  std::shared_ptr<RequestRecord> record;  // its line is written without the lock
  {
    const std::lock_guard lock(mutex_);
    const auto found = open_.find(head.serial);
    if (found == open_.end()) return;
    record = std::move(found->second);
    open_.erase(found);
  }
  record->set_end(end);
}

}  // namespace paring::serve
