// SPDX-License-Identifier: Apache-2.0
#include "cli/advice_apply.h"

#include <fmt/format.h>

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>
#include <utility>

#include "base/clock.h"
#include "base/text.h"
#include "net/upstream_client.h"

namespace paring::cli {

namespace {

constexpr std::size_t kAnswerBytesMax = std::size_t{1} << 20;
constexpr std::size_t kShownBytes = 300;
constexpr auto kPollEvery = std::chrono::milliseconds(500);
constexpr double kLoadSeconds = 600;  // that the server may take beside the trial itself

struct Reply {
  int status = 0;
  std::string body;
  std::optional<net::UpstreamEnd> end;
};

// Waits for one answer.
class Waiting final : public net::UpstreamSink {
 public:
  Wish on_head(int status, std::vector<net::HttpHeader>) override {
    reply_.status = status;
    return Wish::kMore;
  }
  Wish on_bytes(std::string_view bytes) override {
    if (reply_.body.size() + bytes.size() > kAnswerBytesMax) return Wish::kStop;
    reply_.body += bytes;
    return Wish::kMore;
  }
  void on_end(const net::UpstreamEnd& end) override {
    const std::lock_guard lock(mutex_);
    reply_.end = end;
    ended_.notify_all();
  }
  Reply wait() {
    std::unique_lock lock(mutex_);
    ended_.wait(lock, [this] { return reply_.end.has_value(); });
    return reply_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable ended_;
  Reply reply_;  // of the client's thread until it has ended
};

class Api {
 public:
  Api(net::UpstreamClient& client, const ApplyOptions& options)
      : client_(client), options_(options) {}

  Result<Json> call(const std::string& method, const std::string& path, std::string body) {
    net::UpstreamRequest request{.method = method, .url = options_.url + path};
    request.body = std::move(body);
    if (!request.body.empty()) request.headers.push_back({"Content-Type", "application/json"});
    if (!options_.key.empty()) {
      request.headers.push_back({"Authorization", "Bearer " + options_.key});
    }
    const auto waiting = std::make_shared<Waiting>();
    client_.send(client_.new_id(), std::move(request), waiting);
    const Reply reply = waiting->wait();
    if (reply.end->failure) {
      return Error{
          ErrorCode::kUnavailable,
          fmt::format("{}: {}", options_.url, net::upstream_failure_name(*reply.end->failure)),
          "name the server with --url"};
    }
    Json json = Json::parse(reply.body, nullptr, false);
    if (reply.status == 200 && json.is_object()) return json;
    std::string why = reply.body.substr(0, kShownBytes);
    if (json.is_object() && json.contains("error") && json["error"].is_object()) {
      why = json["error"].value("message", why);
    }
    return invalid_argument(
        fmt::format("{} answered {}: {}", options_.url, reply.status, escape_control(why)),
        reply.status == 401 || reply.status == 403
            ? "it takes a key with the scope admin: PARING_API_KEY"
            : "");
  }

 private:
  net::UpstreamClient& client_;
  const ApplyOptions& options_;
};

Json request_of(const std::string& model, const advise::Advice& advice,
                const ApplyOptions& options) {
  Json body = {{"model", model},
               {"change", Json::parse(advice.change)},
               {"action", advise::advice_action_name(advice.action)},
               {"predicted_loss", advice.loss},
               {"share", options.share},
               {"requests_min", options.requests_min},
               {"seconds_max", options.seconds_max},
               {"prediction", Json::array()}};
  // What is split between two halves of one machine shows in the engine's work, not in how much
  // both together answer.
  body["goal"] = advice.gain_metric == advise::AdviceMetric::kThroughput
                     ? "engine_seconds_per_request"
                     : advise::advice_metric_name(advice.gain_metric);
  // Two sides of one engine hold each other up, unless they take turns.
  if (!body["change"].contains("settings")) body["split"] = "windows";
  for (const advise::PredictedMetric& metric : advice.metrics) {
    body["prediction"].push_back({{"metric", advise::advice_metric_name(metric.metric)},
                                  {"now", metric.now},
                                  {"expected", metric.expected},
                                  {"low", metric.low},
                                  {"high", metric.high}});
  }
  return body;
}

}  // namespace

Result<Json> apply_advice(const std::string& model, const advise::Advice& advice,
                          const ApplyOptions& options) {
  if (advice.change.empty()) {
    return invalid_argument(
        fmt::format("'{}' cannot be tried by a server on a share of its requests", advice.title),
        "run its commands by hand, and ask for advice again afterwards");
  }
  PARING_TRY(const std::unique_ptr<net::UpstreamClient> client, net::UpstreamClient::start({}));
  Api api(*client, options);
  PARING_TRY(Json canary,
             api.call("POST", "/v1/canaries", request_of(model, advice, options).dump()));
  const std::string id = canary.value("id", "");
  print_note(fmt::format("{}: trying it on {:.0f} % of the requests for '{}'", id,
                         100 * options.share, model));
  const double end = system_clock().monotonic_seconds() + options.seconds_max + kLoadSeconds;
  for (;;) {
    const std::string state = canary.value("state", "");
    if (state != "loading" && state != "running" && state != "ending") return canary;
    if (system_clock().monotonic_seconds() > end) {
      return Error{ErrorCode::kUnavailable, id + " does not end", "GET /v1/canaries/" + id};
    }
    std::this_thread::sleep_for(kPollEvery);
    PARING_TRY(canary, api.call("GET", "/v1/canaries/" + id, ""));
  }
}

}  // namespace paring::cli
