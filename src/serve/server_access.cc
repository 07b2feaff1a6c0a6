// SPDX-License-Identifier: Apache-2.0
// The server's side of access: headers that every answer has, the log of requests, the audit log.
#include <string>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "serve/access/rate_headers.h"
#include "serve/server.h"

namespace paring::serve {

namespace {

constexpr const char* kExposedHeaders =
    "x-request-id, traceresponse, retry-after, x-paring-variant, x-paring-cache, "
    "x-ratelimit-limit-requests, x-ratelimit-remaining-requests, x-ratelimit-reset-requests, "
    "x-ratelimit-limit-tokens, x-ratelimit-remaining-tokens, x-ratelimit-reset-tokens, "
    "anthropic-ratelimit-requests-limit, anthropic-ratelimit-requests-remaining, "
    "anthropic-ratelimit-requests-reset, anthropic-ratelimit-tokens-limit, "
    "anthropic-ratelimit-tokens-remaining, anthropic-ratelimit-tokens-reset";

}  // namespace

std::vector<net::HttpHeader> Server::common_headers(const net::HttpHead& head,
                                                    const RequestRecord& record) const {
  std::vector<net::HttpHeader> headers = {{"x-request-id", record.id()},
                                          {"traceresponse", record.trace().response_header()}};
  const std::string* origin = head.find("origin");
  if (origin == nullptr) return headers;
  for (const std::string& allowed : options().cors_origins) {
    if (allowed != "*" && allowed != *origin) continue;
    headers.push_back({"access-control-allow-origin", allowed == "*" ? "*" : *origin});
    headers.push_back({"vary", "origin"});
    headers.push_back({"access-control-expose-headers", kExposedHeaders});
    break;
  }
  return headers;
}

std::vector<net::HttpHeader> Server::answer_headers(const Call& call) {
  std::vector<net::HttpHeader> headers = common_headers(call.exchange->head(), *call.record);
  const store::KeyLimits& limits = call.principal.limits;
  if (!limits.requests_per_minute && !limits.tokens_per_minute) return headers;
  std::vector<net::HttpHeader> rates =
      rate_headers(call.protocol, gate_.rate_state(call.principal), system_clock().wall_seconds());
  std::move(rates.begin(), rates.end(), std::back_inserter(headers));
  return headers;
}

net::HttpResponse Server::preflight(const net::HttpHead& head, const RequestRecord& record) const {
  net::HttpResponse response{.status = 204, .headers = common_headers(head, record)};
  response.headers.push_back({"access-control-allow-methods", "GET, POST, DELETE"});
  response.headers.push_back({"access-control-allow-headers",
                              "authorization, content-type, x-api-key, x-request-id, "
                              "x-request-timeout, traceparent, tracestate, cache-control"});
  response.headers.push_back({"access-control-max-age", "600"});
  return response;
}

void Server::on_end(const net::HttpHead& head, const net::RequestEnd& end) {
  records_.end(head, end);
}

Result<void> Server::audit(const Call& call, std::string_view action, std::string_view object,
                           std::string_view detail) {
  if (auditor_) {
    return auditor_->action({.actor = call.principal.key_id,
                             .action = action,
                             .object = object,
                             .result = "ok",
                             .detail = detail});
  }
  log_info("audit: " + std::string(action) + " of " + std::string(object) + " by " +
           call.principal.key_id + (detail.empty() ? "" : ": " + std::string(detail)));
  return {};
}

// The database is written on a thread of its own: whoever is refused must not make others wait.
void Server::audit_refusal(const net::HttpHead& head, const RequestRecord& record,
                           const std::string& key_id, const ApiError& error) {
  const RouteMatch match = match_route(head.method, head.segments);
  const std::string action = head.method + ' ' + (match.route == nullptr ? "-" : match.route->path);
  const std::string actor = key_id.empty() ? head.remote_address : key_id;
  if (!auditor_ || !auditor_->takes_refusal()) return;
  finisher_.post([this, actor, action, id = record.id(), error] {
    auditor_->refusal({.actor = actor,
                       .action = action,
                       .object = id,
                       .result = error.code,
                       .detail = error.message});
  });
}

}  // namespace paring::serve
