// SPDX-License-Identifier: Apache-2.0
// Repeating what fails for the moment. Internal to hub.
#pragma once

#include <cstdint>

#include "base/result.h"

namespace paring::hub {

// Waits longer from attempt (from 0) to attempt, and says so in the log.
void wait_before_retry(int attempt, const Error& error);

// Repeats `attempt` while it is Unavailable, until `attempts_max` attempts in a row brought
// nothing. `progress_of`: a figure that grows while attempts get somewhere.
template <typename Attempt, typename ProgressOf>
auto with_retries(int attempts_max, const Attempt& attempt, const ProgressOf& progress_of)
    -> decltype(attempt()) {
  for (int failures = 0;; ++failures) {
    const std::uint64_t before = progress_of();
    auto result = attempt();
    if (result || result.error().code != ErrorCode::kUnavailable) return result;
    if (progress_of() > before) failures = 0;
    if (failures + 1 >= attempts_max) return result;
    wait_before_retry(failures, result.error());
  }
}

}  // namespace paring::hub
