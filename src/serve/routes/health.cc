// SPDX-License-Identifier: Apache-2.0
// Whether the process lives and whether it takes work, as load balancers ask. /health is for people
// and older tools: readiness under llama-server's name.
#include <nlohmann/json.hpp>

#include "serve/routes/handlers.h"
#include "serve/server.h"

namespace paring::serve {

namespace {

using Json = nlohmann::ordered_json;

void say(Server& server, const Call& call, const std::string& problem) {
  const Json body = problem.empty() ? Json{{"status", "ok"}}
                                    : Json{{"status", "unavailable"}, {"reason", problem}};
  server.respond(call, problem.empty() ? 200 : 503, "application/json", body.dump());
}

}  // namespace

void serve_health(Server& server, const Call& call) { say(server, call, server.unready_reason()); }

void serve_readyz(Server& server, const Call& call) { say(server, call, server.unready_reason()); }

// Load, loading and draining are no reason to restart a process; an engine that stands is.
void serve_livez(Server& server, const Call& call) {
  say(server, call, server.is_alive() ? "" : "the engine has not finished a step for too long");
}

}  // namespace paring::serve
