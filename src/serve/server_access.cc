// SPDX-License-Identifier: Apache-2.0
// The server's side of access: headers that every answer has, the log of requests, the audit log.
#include <string>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "serve/access/browser_guard.h"
#include "serve/access/rate_headers.h"
#include "serve/access/refusal.h"
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
  std::vector<net::HttpHeader> rates = rate_headers_of(call.exchange->head(), call.principal);
  std::move(rates.begin(), rates.end(), std::back_inserter(headers));
  return headers;
}

std::vector<net::HttpHeader> Server::rate_headers_of(const net::HttpHead& head,
                                                     const Principal& principal) {
  const store::KeyLimits& limits = principal.limits;
  if (!limits.requests_per_minute && !limits.tokens_per_minute) return {};
  return rate_headers(protocol_of(head.path), gate_.rate_state(principal),
                      system_clock().wall_seconds());
}

ApiResult<Principal> Server::authenticate(const net::HttpHead& head) {
  const auto value = [&](std::string_view name) -> std::optional<std::string_view> {
    const std::string* found = head.find(name);
    if (found == nullptr) return std::nullopt;
    return std::string_view(*found);
  };
  ApiResult<std::string> key = presented_key(value("authorization"), value("x-api-key"));
  if (!key) return key.error();
  return keys_.authenticate(*key);
}

// Who asks, where the route is for them.
ApiResult<Principal> Server::permit(const net::HttpHead& head, const Route& route,
                                    RequestRecord& record) {
  if (!route.policy.scope) return Principal{};
  ApiResult<Principal> principal = authenticate(head);
  if (!principal) {
    audit_refusal(head, record, "", principal.error());
    return principal;
  }
  record.set_caller(principal->key_id, principal->tenant);
  auto error = check_scope(*principal, *route.policy.scope);
  if (!error && principal->kind == PrincipalKind::kAnonymous) {
    error = refuse_foreign_page(head, options().cors_origins);
  }
  if (!error) return principal;
  audit_refusal(head, record, principal->key_id, *error);
  return *std::move(error);
}

std::variant<net::BodyLimit, net::HttpResponse> Server::on_head(const net::HttpHead& head) {
  const RouteMatch match = match_route(head.method, head.segments);
  const auto record = records_.begin(head, match.route == nullptr ? nullptr : match.route->path);
  if (match.route != nullptr && match.route->policy.takes == RoutePolicy::Takes::kWork) {
    record->set_is_work();
  }
  return judge(head, match, *record);
}

std::variant<net::BodyLimit, net::HttpResponse> Server::judge(const net::HttpHead& head,
                                                              const RouteMatch& match,
                                                              RequestRecord& record) {
  // Nothing of the exchange exists yet: errors are made by hand.
  const auto refused = [&](const ApiError& error,
                           std::vector<net::HttpHeader> more = {}) -> net::HttpResponse {
    record.set_error(error.code);
    net::HttpResponse response{.status = error.status,
                               .content_type = "application/json",
                               .headers = common_headers(head, record),
                               .body = wire::error_body(protocol_of(head.path), error)};
    std::move(more.begin(), more.end(), std::back_inserter(response.headers));
    if (error.retry_after_seconds) {
      response.headers.push_back(
          {"retry-after", std::to_string(retry_after_header(*error.retry_after_seconds))});
    }
    return response;
  };
  if (match.route == nullptr && head.method == "OPTIONS" && !options().cors_origins.empty()) {
    return preflight(head, record);
  }
  if (match.route == nullptr) {
    if (match.allowed.empty()) {
      return refused({.status = 404,
                      .code = "not_found",
                      .message = "there is no such route; /openapi.json lists them",
                      .param = ""});
    }
    return refused({.status = 405,
                    .code = "method_not_allowed",
                    .message = "this route takes " + match.allowed,
                    .param = ""},
                   {{"allow", match.allowed}});
  }
  const RoutePolicy& policy = match.route->policy;
  const ApiResult<Principal> principal = permit(head, *match.route, record);
  if (!principal) {
    const bool needs_key = principal.error().status == 401;
    return refused(principal.error(),
                   needs_key ? std::vector<net::HttpHeader>{{"www-authenticate", "Bearer"}}
                             : std::vector<net::HttpHeader>{});
  }
  if (policy.is_rated()) {
    // Before the body has travelled: what will be refused is neither kept nor read.
    if (const auto error = gate_.refusal_now(*principal)) {
      metrics().rejections.add();
      audit_refusal(head, record, principal->key_id, *error);
      return refused(*error, rate_headers_of(head, *principal));
    }
  }
  if (policy.takes == RoutePolicy::Takes::kNothing) return net::BodyLimit{.is_quick = true};
  if (policy.takes != RoutePolicy::Takes::kFile) {
    return net::BodyLimit{.bytes = policy.body_bytes_max,
                          .takes_gzip = policy.takes == RoutePolicy::Takes::kPacked};
  }
  const auto file_bytes = static_cast<std::size_t>(options().batches.files.file_bytes_max);
  return net::BodyLimit{.bytes = policy.body_bytes_max + file_bytes, .is_streamed = true};
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
