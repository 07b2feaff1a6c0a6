// SPDX-License-Identifier: Apache-2.0
#include "serve/wire/quality.h"
#include "serve/routes/handlers.h"
#include "serve/server.h"

namespace paring::serve {

void serve_quality(Server& server, const Call& call) {
  std::vector<wire::QualityStanding> standings;
  for (const auto& watch : server.quality_watches()) {
    standings.push_back({.model = watch->model_name(),
                         .original = watch->original_name(),
                         .share = watch->options().share,
                         .drift_factor = watch->options().drift_factor,
                         .waiting = watch->waiting(),
                         .now = watch->standing()});
  }
  server.respond(call, 200, "application/json", wire::quality_answer(standings));
}

}  // namespace paring::serve
