// SPDX-License-Identifier: Apache-2.0
// Times as Ollama writes them. Stateless.
#pragma once

#include <cstdint>
#include <string>

namespace paring::serve::wire {

// "2026-11-22T08:05:09Z" of seconds since 1970, in UTC.
std::string rfc3339(std::int64_t seconds);

}  // namespace paring::serve::wire
