// SPDX-License-Identifier: Apache-2.0
// Who can reach an address that a server listens to. Stateless.
#pragma once

#include <string>

namespace paring::serve {

// This machine alone: a server there may do without keys.
bool is_loopback(const std::string& address);

}  // namespace paring::serve
