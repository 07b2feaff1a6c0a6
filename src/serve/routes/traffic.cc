// SPDX-License-Identifier: Apache-2.0
// /v1/traffic: what was served. Keys with the scope admin see all tenants, others their own. Of
// prompts and answers a key sees those that it asked for itself, and with the scope content the
// rest.
#include "serve/wire/traffic.h"

#include <optional>

#include "serve/batch/storage_failure.h"
#include "serve/routes/handlers.h"
#include "serve/server.h"
#include "serve/wire/traffic_users.h"

namespace paring::serve {

namespace {

// Null: the server keeps nothing, and the call is answered.
const store::TrafficDb* traffic_of(Server& server, const Call& call) {
  const store::TrafficDb* const traffic = server.traffic();
  if (traffic == nullptr) {
    server.refuse(call, {.status = 501,
                         .code = "not_supported",
                         .message = "this server keeps nothing of its requests, since it has no "
                                    "data folder or was started with --traffic off",
                         .param = ""});
  }
  return traffic;
}

bool sees_all(const Call& call) { return call.principal.scopes.has(Scope::kAdmin); }

// What the call may see of what it asks for; refused and nothing when it is another's.
std::optional<store::TrafficFilter> allowed(Server& server, const Call& call,
                                            store::TrafficFilter filter) {
  if (sees_all(call)) return filter;
  if (filter.tenant && *filter.tenant != call.principal.tenant) {
    server.refuse(call, {.status = 403,
                         .code = "not_permitted",
                         .message = "the key sees the traffic of its own tenant only; that of "
                                    "others takes one with the scope admin",
                         .param = "tenant"});
    return std::nullopt;
  }
  filter.tenant = call.principal.tenant;
  return filter;
}

// What is wrong with the query is the client's, the rest the server's.
ApiError traffic_error(const Error& error, const char* param) {
  if (error.code == ErrorCode::kInvalidArgument || error.code == ErrorCode::kExhausted) {
    return {400, "invalid_value", error.text(), param};
  }
  return storage_failure("traffic", error);
}

void respond(Server& server, const Call& call, std::string body) {
  server.respond(call, 200, "application/json", std::move(body));
}

}  // namespace

void serve_traffic_list(Server& server, const Call& call) {
  const store::TrafficDb* const traffic = traffic_of(server, call);
  if (traffic == nullptr) return;
  const auto read = wire::read_traffic_list(call.exchange->head().query, server.rules());
  if (!read) return server.refuse(call, read.error());
  const auto filter = allowed(server, call, read->filter);
  if (!filter) return;
  const auto page = traffic->page(*filter, read->after, read->limit);
  if (!page) return server.refuse(call, traffic_error(page.error(), "after"));
  respond(server, call, wire::traffic_list_answer(*page));
}

void serve_traffic_summary(Server& server, const Call& call) {
  const store::TrafficDb* const traffic = traffic_of(server, call);
  if (traffic == nullptr) return;
  const auto read = wire::read_traffic_summary(call.exchange->head().query, server.rules());
  if (!read) return server.refuse(call, read.error());
  const auto filter = allowed(server, call, read->filter);
  if (!filter) return;
  if (read->by) {
    const auto groups = traffic->summary_by(*filter, *read->by);
    if (!groups) return server.refuse(call, traffic_error(groups.error(), "from"));
    return respond(server, call, wire::traffic_groups_answer(*groups, *read->by, read->bounds));
  }
  const auto sums = traffic->summary(*filter);
  if (!sums) return server.refuse(call, traffic_error(sums.error(), "from"));
  respond(server, call, wire::traffic_summary_answer(*sums, read->bounds));
}

void serve_traffic_series(Server& server, const Call& call) {
  const store::TrafficDb* const traffic = traffic_of(server, call);
  if (traffic == nullptr) return;
  const auto read = wire::read_traffic_series(call.exchange->head().query, server.rules());
  if (!read) return server.refuse(call, read.error());
  const auto filter = allowed(server, call, read->filter);
  if (!filter) return;
  const auto buckets = traffic->series(*filter, read->bucket_seconds);
  if (!buckets) return server.refuse(call, traffic_error(buckets.error(), "bucket_seconds"));
  respond(server, call, wire::traffic_series_answer(*buckets, *read));
}

void serve_traffic_users(Server& server, const Call& call) {
  const store::TrafficDb* const traffic = traffic_of(server, call);
  if (traffic == nullptr) return;
  const auto read = wire::read_traffic_users(call.exchange->head().query, server.rules());
  if (!read) return server.refuse(call, read.error());
  const auto filter = allowed(server, call, read->filter);
  if (!filter) return;
  const auto users = traffic->users(*filter, read->limit);
  if (!users) return server.refuse(call, traffic_error(users.error(), "min_milliseconds"));
  respond(server, call, wire::traffic_users_answer(*users));
}

void serve_traffic_request(Server& server, const Call& call) {
  const store::TrafficDb* const traffic = traffic_of(server, call);
  if (traffic == nullptr) return;
  auto rows = traffic->find(call.path_values[0]);
  if (!rows) return server.refuse(call, traffic_error(rows.error(), "request_id"));
  if (!sees_all(call)) {
    std::erase_if(*rows, [&](const store::TrafficRequest& row) {
      return row.tenant != call.principal.tenant;
    });
  }
  bool reads_others = false;
  for (store::TrafficRequest& row : *rows) {
    if (!row.content || row.key_id == call.principal.key_id) continue;
    if (call.principal.scopes.has(Scope::kContent)) {
      reads_others = true;
    } else {
      row.content.reset();
    }
  }
  if (reads_others) {
    const Result<void> audited = server.audit(call, "content.read", call.path_values[0]);
    if (!audited) return server.refuse(call, storage_failure("audit log", audited.error()));
  }
  if (!rows->empty()) return respond(server, call, wire::traffic_requests_answer(*rows));
  server.refuse(call, {.status = 404,
                       .code = "request_not_found",
                       .message = "There is no request with this id, or it is not kept any more.",
                       .param = "request_id"});
}

}  // namespace paring::serve
