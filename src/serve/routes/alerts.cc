// SPDX-License-Identifier: Apache-2.0
// /v1/alerts: objectives and alerts. Keys with the scope admin see all of them, others those that
// are not of another tenant.
#include <algorithm>
#include <utility>

#include "serve/batch/storage_failure.h"
#include "serve/routes/handlers.h"
#include "serve/server.h"
#include "serve/wire/alerts.h"

namespace paring::serve {

namespace {

bool is_for(const Call& call, const monitor::SloStanding& standing) {
  const std::string& tenant = standing.slo.filters.tenant;
  return tenant.empty() || tenant == call.principal.tenant ||
         call.principal.scopes.has(Scope::kAdmin);
}

}  // namespace

void serve_alerts(Server& server, const Call& call) {
  wire::AlertsView view;
  if (const monitor::Alerts* const alerts = server.alerts()) {
    view = {alerts->now_s(), alerts->standings(), alerts->changes(), alerts->sinks()};
    std::erase_if(view.objectives, [&](const auto& each) { return !is_for(call, each); });
    std::erase_if(view.changes, [&](const monitor::AlertChange& change) {
      return std::ranges::none_of(
          view.objectives, [&](const auto& each) { return each.slo.name == change.objective; });
    });
  }
  server.respond(call, 200, "application/json", wire::alerts_answer(view));
}

void serve_alert_silence(Server& server, const Call& call) {
  const auto read = wire::read_silence(call.exchange->body(), server.rules());
  if (!read) return server.refuse(call, read.error());
  const std::string& objective = call.path_values[0];
  monitor::Alerts* const alerts = server.alerts();
  const ApiError unknown{404, "objective_not_found",
                         "There is no objective of this name; GET /v1/alerts lists them.",
                         "objective"};
  if (alerts == nullptr || !alerts->has(objective)) return server.refuse(call, unknown);
  const std::string detail = std::to_string(read->seconds) + " s: " + read->comment;
  const Result<void> audited = server.audit(call, "alert.silence", objective, detail);
  if (!audited) return server.refuse(call, storage_failure("audit log", audited.error()));
  const Result<void> silenced = alerts->silence(objective, read->seconds, read->comment);
  if (!silenced) return server.refuse(call, unknown);
  const double until = read->seconds > 0 ? alerts->now_s() + read->seconds : 0;
  server.respond(call, 200, "application/json", wire::silence_answer(objective, until));
}

}  // namespace paring::serve
