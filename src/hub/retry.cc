// SPDX-License-Identifier: Apache-2.0
#include "hub/retry.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "base/log.h"

namespace paring::hub {

namespace {
constexpr double kWaitSecondsFirst = 0.5;
constexpr double kWaitSecondsMax = 20;
}  // namespace

void wait_before_retry(int attempt, const Error& error) {
  const double seconds =
      std::min(kWaitSecondsFirst * static_cast<double>(1 << attempt), kWaitSecondsMax);
  log_warning(fmt::format("{}; trying again in {} s", error.message, seconds));
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
}

}  // namespace paring::hub
