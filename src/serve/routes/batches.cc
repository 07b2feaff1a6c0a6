// SPDX-License-Identifier: Apache-2.0
// /v1/batches: made, read and cancelled here, run by serve/batch.
#include <algorithm>

#include "serve/batch/batch_json.h"
#include "serve/batch_service.h"
#include "serve/routes/handlers.h"
#include "serve/routes/json_answer.h"
#include "serve/server.h"
#include "serve/wire/openai_batches.h"

namespace paring::serve {

void serve_batch_create(Server& server, const Call& call) {
  BatchService* const service = server.batches(call);
  if (service == nullptr) return;
  auto spec = wire::read_openai_batch(call.exchange->body(), server.rules());
  if (!spec) return server.refuse(call, spec.error());
  // What the key may not do at once it may not do later.
  const auto route = std::find_if(routes().begin(), routes().end(),
                                  [&](const Route& each) { return spec->endpoint == each.path; });
  PARING_CHECK(route != routes().end() && route->policy.scope.has_value(),
               "a batch's endpoint is no route");
  if (auto error = check_scope(call.principal, *route->policy.scope)) {
    return server.refuse(call, *error);
  }
  answer_json(server, call, service->batches().create(call.principal, *spec), batch_json);
}

void serve_batch_list(Server& server, const Call& call) {
  BatchService* const service = server.batches(call);
  if (service == nullptr) return;
  auto page = wire::read_batch_list(call.exchange->head().query, server.rules());
  if (!page) return server.refuse(call, page.error());
  answer_json(server, call, service->batches().list(call.principal.tenant, *page), batch_list_json);
}

void serve_batch(Server& server, const Call& call) {
  BatchService* const service = server.batches(call);
  if (service == nullptr) return;
  answer_json(server, call, service->batches().find(call.principal.tenant, call.path_values[0]),
              batch_json);
}

void serve_batch_cancel(Server& server, const Call& call) {
  BatchService* const service = server.batches(call);
  if (service == nullptr) return;
  answer_json(server, call, service->batches().cancel(call.principal.tenant, call.path_values[0]),
              batch_json);
}

}  // namespace paring::serve
