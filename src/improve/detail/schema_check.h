// SPDX-License-Identifier: Apache-2.0
// A schema looked through once, so that nothing has to be asked of it later. Stateless.
#pragma once

#include <re2/re2.h>

#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "base/result.h"

namespace paring::improve::detail {

using Json = nlohmann::json;
using Patterns = std::map<std::string, std::unique_ptr<const re2::RE2>, std::less<>>;

// Its patterns, compiled. Errors of JsonSchema::parse().
Result<Patterns> check_schema(const Json& schema);

}  // namespace paring::improve::detail
