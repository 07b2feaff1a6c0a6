// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "base/text.h"
#include "improve/scorers/judge_model.h"
#include "net/http_client.h"
#include "net/upstream_client.h"

namespace paring::improve {

namespace {

using Json = nlohmann::ordered_json;
using Steady = std::chrono::steady_clock;

constexpr std::size_t kShownBytes = 200;  // of an answer that is an error

Steady::duration seconds_of(double seconds) {
  return std::chrono::duration_cast<Steady::duration>(std::chrono::duration<double>(seconds));
}

// What came for one try.
struct Reply {
  bool has_ended = false;
  bool is_too_long = false;
  std::optional<net::UpstreamFailure> failure;
  int status = 0;
  double retry_after = 0;
  std::string body;
};

struct Shared {
  std::mutex mutex;
  std::condition_variable changed;
};

class Sink final : public net::UpstreamSink {
 public:
  explicit Sink(std::shared_ptr<Shared> shared) : shared_(std::move(shared)) {}
  Wish on_head(int status, std::vector<net::HttpHeader> headers) override {
    const std::lock_guard lock(shared_->mutex);
    reply_.status = status;
    for (const net::HttpHeader& header : headers) {
      if (header.name != "retry-after") continue;
      std::from_chars(header.value.data(), header.value.data() + header.value.size(),
                      reply_.retry_after);
    }
    return Wish::kMore;
  }
  Wish on_bytes(std::string_view bytes) override {
    const std::lock_guard lock(shared_->mutex);
    reply_.is_too_long = reply_.body.size() + bytes.size() > kJudgeAnswerBytesMax;
    if (reply_.is_too_long) return Wish::kStop;
    reply_.body += bytes;
    return Wish::kMore;
  }
  void on_end(const net::UpstreamEnd& end) override {
    const std::lock_guard lock(shared_->mutex);
    reply_.failure = end.failure;
    reply_.has_ended = true;
    shared_->changed.notify_all();
  }
  // REQUIRES: the mutex is held.
  Reply& reply() { return reply_; }

 private:
  const std::shared_ptr<Shared> shared_;
  Reply reply_;
};

struct Question {
  std::size_t tries = 0;
  Steady::time_point not_before = Steady::time_point::min();
  Steady::time_point answered_by;
  std::uint64_t id = 0;
  std::shared_ptr<Sink> sink;  // null: it is not on its way
  std::optional<Result<std::string>> answer;
};

bool may_retry(const Reply& reply) {
  if (reply.failure) return true;
  return reply.status == 408 || reply.status == 429 || reply.status >= 500;
}

std::string shown(std::string text) {
  if (text.size() > kShownBytes) text = text.substr(0, kShownBytes) + "...";
  return escape_control(text);
}

// The first choice's text, or why there is none.
Result<std::string> text_of(const Reply& reply, const std::string& url) {
  if (reply.is_too_long) {
    return exhausted(fmt::format("{} answered more than {} bytes", url, kJudgeAnswerBytesMax));
  }
  if (reply.failure) {
    return Error{ErrorCode::kUnavailable,
                 fmt::format("{}: {}", url, net::upstream_failure_name(*reply.failure))};
  }
  if (reply.status != 200) {
    const bool is_ours = reply.status >= 400 && reply.status < 500 && reply.status != 429;
    return Error{is_ours ? ErrorCode::kInvalidArgument : ErrorCode::kUnavailable,
                 fmt::format("{} answered {}: {}", url, reply.status, shown(reply.body))};
  }
  const Json json = Json::parse(reply.body, nullptr, false);
  const auto content = json.is_discarded()
                           ? Json()
                           : json.value(Json::json_pointer("/choices/0/message/content"), Json());
  if (!content.is_string()) {
    return corrupt(fmt::format("{} answered no text: {}", url, shown(reply.body)));
  }
  return content.get<std::string>();
}

class HttpJudge final : public JudgeModel {
 public:
  HttpJudge(HttpJudgeOptions options, std::unique_ptr<net::UpstreamClient> client)
      : options_(std::move(options)),
        shared_(std::make_shared<Shared>()),
        client_(std::move(client)) {
    headers_.push_back({"Content-Type", "application/json"});
    if (!options_.key.empty()) headers_.push_back({"Authorization", "Bearer " + options_.key});
  }

  std::vector<Result<std::string>> ask(std::span<const JudgeQuestion> questions) override {
    std::vector<Question> all(questions.size());
    for (;;) {
      const Steady::time_point wakes = advance(questions, all);
      if (std::ranges::all_of(all, [](const Question& q) { return q.answer.has_value(); })) break;
      std::unique_lock lock(shared_->mutex);
      const auto has_news = [&] {
        return std::ranges::any_of(
            all, [](const Question& q) { return q.sink && q.sink->reply().has_ended; });
      };
      shared_->changed.wait_until(lock, wakes, has_news);
    }
    std::vector<Result<std::string>> answers;
    for (Question& question : all) answers.push_back(*std::move(question.answer));
    return answers;
  }

 private:
  // Takes what has come, gives up what is late, sends what may be sent. When to look again at last.
  Steady::time_point advance(std::span<const JudgeQuestion> questions, std::vector<Question>& all) {
    const Steady::time_point now = Steady::now();
    Steady::time_point wakes = now + seconds_of(options_.seconds);
    std::size_t on_their_way = 0;
    for (Question& question : all) {
      if (question.sink) take(question, now);
      if (question.sink) {
        ++on_their_way;
        wakes = std::min(wakes, question.answered_by);
      }
    }
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (all[i].answer || all[i].sink) continue;
      if (all[i].not_before > now) {
        wakes = std::min(wakes, all[i].not_before);
      } else if (on_their_way < options_.parallel) {
        send(questions[i], all[i], now);
        ++on_their_way;
        wakes = std::min(wakes, all[i].answered_by);
      }
    }
    return wakes;
  }

  void take(Question& question, Steady::time_point now) {
    Reply reply;
    {
      const std::lock_guard lock(shared_->mutex);
      if (question.sink->reply().has_ended) {
        reply = std::move(question.sink->reply());
      } else if (now >= question.answered_by) {
        reply.failure = net::UpstreamFailure::kTimeout;
      } else {
        return;
      }
    }
    if (!reply.has_ended) client_->cancel(question.id);
    question.sink = nullptr;
    if (!reply.is_too_long && may_retry(reply) && question.tries < options_.tries) {
      const double wait = kJudgeWaitSeconds * static_cast<double>(1U << (question.tries - 1));
      question.not_before = now + seconds_of(std::clamp(reply.retry_after, wait, kJudgeWaitMax));
      return;
    }
    question.answer = text_of(reply, options_.url);
  }

  void send(const JudgeQuestion& asked, Question& question, Steady::time_point now) {
    question.sink = std::make_shared<Sink>(shared_);
    question.id = client_->new_id();
    question.answered_by = now + seconds_of(options_.seconds);
    ++question.tries;
    client_->send(question.id,
                  {"POST", options_.url + "/chat/completions", headers_, body_of(asked)},
                  question.sink);
  }

  std::string body_of(const JudgeQuestion& question) const {
    Json body;
    body["model"] = options_.model;
    body["messages"] = Json::array({{{"role", "system"}, {"content", question.system}},
                                    {{"role", "user"}, {"content", question.user}}});
    body["temperature"] = 0;
    body["max_tokens"] = options_.answer_tokens;
    if (options_.format == JudgeFormat::kSchema) {
      body["response_format"] = {
          {"type", "json_schema"},
          {"json_schema",
           {{"name", "judgement"}, {"strict", true}, {"schema", Json::parse(question.schema)}}}};
    } else if (options_.format == JudgeFormat::kObject) {
      body["response_format"] = {{"type", "json_object"}};
    }
    return body.dump(-1, ' ', false, Json::error_handler_t::replace);
  }

  const HttpJudgeOptions options_;
  const std::shared_ptr<Shared> shared_;
  std::vector<net::HttpHeader> headers_;
  const std::unique_ptr<net::UpstreamClient> client_;
};

}  // namespace

Result<std::unique_ptr<JudgeModel>> make_http_judge(const HttpJudgeOptions& given) {
  HttpJudgeOptions options = given;
  while (options.url.ends_with('/')) options.url.pop_back();
  const std::size_t scheme = options.url.find("://");
  const std::string_view rest =
      scheme == std::string::npos ? "" : std::string_view(options.url).substr(scheme + 3);
  if ((!options.url.starts_with("http://") && !options.url.starts_with("https://")) ||
      rest.empty() || rest.find_first_of("@?# \"\\") != std::string_view::npos) {
    return invalid_argument(
        fmt::format("'{}' is no address of a server", escape_control(options.url)),
        "write it like http://127.0.0.1:8000/v1");
  }
  // A host alone means its API.
  if (rest.find('/') == std::string_view::npos) options.url += "/v1";
  if (!options.key.empty() && !net::is_token(options.key)) {
    return invalid_argument("the judge's key holds characters that cannot be sent");
  }
  PARING_TRY(auto client, net::UpstreamClient::start({.connect_seconds = options.seconds,
                                                      .stall_seconds = options.seconds,
                                                      .connections_kept = options.parallel}));
  return std::unique_ptr<JudgeModel>(
      std::make_unique<HttpJudge>(std::move(options), std::move(client)));
}

}  // namespace paring::improve
