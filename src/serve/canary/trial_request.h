// SPDX-License-Identifier: Apache-2.0
// What a trial is told of a request that has ended. Stateless.
#pragma once

#include "serve/canary/canaries.h"
#include "serve/request_record.h"
#include "store/traffic_rows.h"

namespace paring::serve {

// nullopt: it says nothing about its side, since a client ended it, its key's limits did, or it was
// given an answer that had been computed before (unless that is what is tried).
std::optional<TrialRequest> trial_request(const RequestFacts& facts,
                                          const store::TrafficRequest& row);
void note_trial(Canaries& canaries, const RequestFacts& facts, const store::TrafficRequest& row);

}  // namespace paring::serve
