// SPDX-License-Identifier: Apache-2.0
// Bodies that come compressed (RFC 1952). Pure function.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.h"

namespace paring::net {

// What gzip's `bytes` hold, of all members one after the other. InvalidArgument: they are not gzip,
// broken, cut, or their checksum is another. Exhausted: they hold more than `bytes_max`,
// which is the most that is ever made of them.
Result<std::string> gunzip(std::string_view bytes, std::size_t bytes_max);

}  // namespace paring::net
