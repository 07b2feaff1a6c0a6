// SPDX-License-Identifier: Apache-2.0
// Values held against shapes. Stateless.
#pragma once

#include <optional>
#include <string>

#include "serve/wire/detail/json_read.h"
#include "serve/wire/shape.h"
#include "serve/wire/wire_rules.h"

namespace paring::serve::wire {

// The first thing that is wrong with `value`, in its own order: 400 with the field's path, its
// value and what it may be.
std::optional<ApiError> check_shape(const Json& value, const Shape& shape, const WireRules& rules);

// The body of a request, read and checked.
ApiResult<Json> read_body(std::string_view body, const Shape& shape, const WireRules& rules);

// The option of a union that is meant to describe `value`: that of its type, and of several that
// whose discriminator it has, else the first of whose list's items it has the type. Null: none.
const Shape* option_for(const Json& value, const Shape& shape);

}  // namespace paring::serve::wire
