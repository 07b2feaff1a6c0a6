// SPDX-License-Identifier: Apache-2.0
// Names with texts, as queries and forms bring them, held against shapes as bodies are. Stateless.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "serve/wire/detail/json_read.h"
#include "serve/wire/shape.h"
#include "serve/wire/wire_rules.h"

namespace paring::serve::wire {

using FlatFields = std::vector<std::pair<std::string, std::string>>;

// An object with a field for each pair; a text that is a number becomes one where `shape`, an
// object, wants integers. 400 for a name that stands twice and for what check_shape() says.
ApiResult<Json> read_flat(const FlatFields& pairs, const Shape& shape, const WireRules& rules);

}  // namespace paring::serve::wire
