// SPDX-License-Identifier: Apache-2.0
#include "serve/batch_service.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "serve/answer.h"
#include "serve/line_exchange.h"
#include "serve/request_record.h"
#include "serve/route.h"
#include "serve/server.h"

namespace paring::serve {

namespace {

constexpr std::size_t kLinesPerRequest = 4;
constexpr int kLinePriority = -1;

}  // namespace

std::size_t lines_beside(std::size_t requests, std::size_t lines_max) noexcept {
  if (requests >= lines_max) return 0;
  const std::size_t taken = requests * kLinesPerRequest;
  return taken < lines_max ? lines_max - taken : 1;
}

Result<std::unique_ptr<BatchService>> BatchService::open(const store::ControlDb& control,
                                                         Server& server, KeyRing& keys,
                                                         const BatchServiceOptions& options) {
  PARING_TRY(std::unique_ptr<FileStore> files, FileStore::open(control, options.files));
  using Self = BatchService;
  return std::unique_ptr<Self>(new Self(control, std::move(files), server, keys, options));
}

BatchService::BatchService(const store::ControlDb& control, std::unique_ptr<FileStore> files,
                           Server& server, KeyRing& keys, const BatchServiceOptions& options)
    : server_(server),
      keys_(keys),
      options_(options),
      files_(std::move(files)),
      runner_(control, *files_, *this,
              {.idle_gate = [this] { return server_.batch_lines_now(); },
               .lines_max = options.lines_max,
               .input = options.input}),
      batches_(control, *files_, [this] { runner_.wake(); }) {}

BatchService::~BatchService() { runner_.stop(0); }

void BatchService::start(LineRequest request, std::shared_ptr<LineTicket> ticket) {
  lines_.post([this, request = std::move(request), ticket = std::move(ticket),
               place = place_]() mutable { run(request, ticket, std::move(place)); });
}

// On the thread of lines.
void BatchService::run(const LineRequest& request, const std::shared_ptr<LineTicket>& ticket,
                       std::shared_ptr<const void> place) {
  const auto exchange = std::make_shared<LineExchange>(request, ticket, std::move(place));
  const RouteMatch match = match_route(exchange->head().method, exchange->head().segments);
  PARING_CHECK(match.route != nullptr && match.route->policy.scope.has_value(),
               "a batch without a route");
  Call call;
  call.exchange = exchange;
  call.id = request.request_id;
  call.record = std::make_shared<RequestRecord>(exchange->head(), match.route->path,
                                                server_.line_log(), system_clock());
  if (match.route->policy.takes == RoutePolicy::Takes::kWork) call.record->set_is_work();
  exchange->set_record(call.record);
  call.priority = kLinePriority;
  call.on_usage = [exchange](const AnswerUsage& usage) { exchange->note_usage(usage); };
  if (ticket->is_cancelled()) {
    exchange->respond({});
    return;
  }
  try {
    ApiResult<Principal> principal = keys_.find(request.key_id, request.tenant);
    if (!principal) return server_.refuse(call, principal.error());
    call.principal = std::move(*principal);
    call.record->set_caller(call.principal.key_id, call.principal.tenant);
    // Scopes cannot be taken from a key, but another key of the file may have its name.
    if (auto error = check_scope(call.principal, *match.route->policy.scope)) {
      return server_.refuse(call, *error);
    }
    match.route->serve(server_, call);
  } catch (const std::exception& error) {
    log_error(std::string("a line of a batch failed: ") + error.what());
    exchange->cut();
  }
}

}  // namespace paring::serve
