// SPDX-License-Identifier: Apache-2.0
// The server's side of changes that are tried on a share of the requests.
#include "base/log.h"
#include "serve/canary/canaries.h"
#include "serve/server.h"
#include "serve/wire/canaries.h"

namespace paring::serve {

Result<void> Server::begin_canaries() {
  canaries_ = std::make_unique<Canaries>(Canaries::Parts{
      .models = *registry_,
      .control = *control_,
      .audit =
          [this](const Canaries::Audit& what) {
            const Result<void> noted = auditor_->action({.actor = what.actor,
                                                         .action = what.action,
                                                         .object = what.object,
                                                         .result = "ok",
                                                         .detail = what.detail});
            if (!noted) log_error(noted.error().text());
          },
      .measured =
          [](const std::vector<TrialMeasure>& measures) { return wire::measures_json(measures); },
      .clock = system_clock()});
  return canaries_->recover();
}

}  // namespace paring::serve
