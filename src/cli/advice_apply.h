// SPDX-License-Identifier: Apache-2.0
// paring advise --apply: a running server tries a piece of advice on a share of its requests
// (docs/howto/canary.md) and keeps it or takes it back.
#pragma once

#include <string>

#include "advise/advisor.h"
#include "base/result.h"
#include "cli/output.h"

namespace paring::cli {

struct ApplyOptions {
  std::string url;  // of the server
  std::string key;  // with the scope admin; "": none
  double share = 0.5;
  std::int64_t requests_min = 100;
  double seconds_max = 3600;
};

// Returns what the ledger says in the end, the server's canary object. InvalidArgument for advice
// that a server cannot try by itself. Unavailable: no server there. Interrupted waiting leaves the
// trial running; its id has been printed.
Result<Json> apply_advice(const std::string& model, const advise::Advice& advice,
                          const ApplyOptions& options);

}  // namespace paring::cli
