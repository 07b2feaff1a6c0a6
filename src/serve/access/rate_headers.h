// SPDX-License-Identifier: Apache-2.0
// What a key may still ask for, in the headers that clients read to slow down by themselves:
// OpenAI's x-ratelimit-* and Anthropic's anthropic-ratelimit-*. Stateless.
#pragma once

#include <string>
#include <vector>

#include "net/http_message.h"
#include "serve/access/gate.h"
#include "serve/wire/endpoints.h"

namespace paring::serve {

// Empty without limits. `wall_seconds`: now, for headers that name a time.
std::vector<net::HttpHeader> rate_headers(wire::Protocol protocol, const RateState& state,
                                          double wall_seconds);

// "0s", "120ms", "1.5s", "6m0s", "2h0m3s": how Go writes durations, which is what OpenAI sends.
std::string go_duration(double seconds);

}  // namespace paring::serve
