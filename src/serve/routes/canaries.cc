// SPDX-License-Identifier: Apache-2.0
// Changes that are tried on a share of the requests. Only the scope admin begins and stops one: a
// path is any file that this process can read.
#include "serve/wire/canaries.h"
#include "hub/model_source.h"
#include "serve/batch/storage_failure.h"
#include "serve/routes/handlers.h"
#include "serve/server.h"

namespace paring::serve {

namespace {

constexpr std::int64_t kResidualsMax = 1000;

ApiError unknown_canary() {
  return {404, "canary_not_found", "There is no canary with this id.", "canary_id"};
}

bool sees_paths(const Call& call) { return call.principal.scopes.has(Scope::kAdmin); }

// Null: the server has no database, and the call is answered.
Canaries* canaries_of(Server& server, const Call& call) {
  return server.control(call) == nullptr ? nullptr : server.canaries();
}

// As it is now.
void respond_with(Server& server, const Call& call, std::int64_t id) {
  // Before the row, which then has its end if there is no standing any more.
  const auto standing = server.canaries()->standing(id);
  auto row = store::AdviceLedger(*server.control(call)).find(id);
  if (!row) return server.refuse(call, storage_failure("advice", row.error()));
  if (!*row) return server.refuse(call, unknown_canary());
  server.respond(call, 200, "application/json",
                 wire::canary_answer({*std::move(*row), standing, sees_paths(call)}));
}

struct Listed {
  std::vector<wire::CanaryView> views;
  bool has_more = false;
};

// nullopt: it is refused.
std::optional<Listed> list(Server& server, const Call& call) {
  Canaries* const canaries = canaries_of(server, call);
  if (canaries == nullptr) return std::nullopt;
  const auto refuse = [&](const ApiError& error) {
    server.refuse(call, error);
    return std::nullopt;
  };
  const auto read = wire::read_canary_list(call.exchange->head().query, server.rules());
  if (!read) return refuse(read.error());
  auto rows = store::AdviceLedger(*server.control(call)).list(read->before, read->limit + 1);
  if (!rows) return refuse(storage_failure("advice", rows.error()));
  Listed listed;
  listed.has_more = static_cast<std::int64_t>(rows->size()) > read->limit;
  if (listed.has_more) rows->pop_back();
  for (store::AdviceRow& row : *rows) {
    auto standing = row.verdict().empty() ? canaries->standing(row.id) : std::nullopt;
    listed.views.push_back({std::move(row), std::move(standing), sees_paths(call)});
  }
  return listed;
}

}  // namespace

void serve_canary_create(Server& server, const Call& call) {
  Canaries* const canaries = canaries_of(server, call);
  if (canaries == nullptr) return;
  ApiResult<CanaryRequest> request = wire::read_canary(call.exchange->body(), server.rules());
  if (!request) return server.refuse(call, request.error());
  if (!request->change.path.empty()) {
    auto path = hub::find_model(request->change.path);
    if (!path) return server.refuse(call, bad_request("change.path", path.error().text()));
    request->change.path = std::move(*path);
  }
  request->parameters = wire::canary_parameters(*request);
  canaries->start(*request, call.principal.key_id,
                  [&server, call](const ApiResult<std::int64_t>& id) {
                    if (!id) return server.refuse(call, id.error());
                    respond_with(server, call, *id);
                  });
}

void serve_canary_list(Server& server, const Call& call) {
  const auto listed = list(server, call);
  if (!listed) return;
  server.respond(call, 200, "application/json",
                 wire::canary_list_answer(listed->views, listed->has_more));
}

void serve_canary(Server& server, const Call& call) {
  if (canaries_of(server, call) == nullptr) return;
  const auto id = wire::canary_number(call.path_values[0]);
  if (!id) return server.refuse(call, unknown_canary());
  respond_with(server, call, *id);
}

void serve_canary_stop(Server& server, const Call& call) {
  Canaries* const canaries = canaries_of(server, call);
  if (canaries == nullptr) return;
  const auto id = wire::canary_number(call.path_values[0]);
  if (!id) return server.refuse(call, unknown_canary());
  if (const auto error = canaries->stop(*id, call.principal.key_id)) {
    return server.refuse(call, *error);
  }
  respond_with(server, call, *id);
}

void serve_advice_ledger(Server& server, const Call& call) {
  const auto listed = list(server, call);
  if (!listed) return;
  const auto residuals = store::AdviceLedger(*server.control(call)).residuals("", kResidualsMax);
  if (!residuals) return server.refuse(call, storage_failure("advice", residuals.error()));
  server.respond(call, 200, "application/json",
                 wire::advice_ledger_answer(listed->views, listed->has_more, *residuals));
}

}  // namespace paring::serve
