// SPDX-License-Identifier: Apache-2.0
// Text from a file, made safe to print in a message.
#pragma once

#include <string>
#include <string_view>

namespace paring::io {

// Control bytes and broken UTF-8 lead to \xNN; more than 80 bytes are cut and end in "...".
std::string printable(std::string_view text);

}  // namespace paring::io
