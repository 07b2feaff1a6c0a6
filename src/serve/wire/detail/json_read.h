// SPDX-License-Identifier: Apache-2.0
// JSON of a request as a tree, with bounds. Stateless.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "serve/api_error.h"

namespace paring::serve::wire {

using Json = nlohmann::ordered_json;

// 400 for what is no JSON in UTF-8, for a field that stands twice in its object, a character NUL or
// half a surrogate pair in a string, a number beyond 64 bits, and beyond the limits of wire_rules.h
// (413 for the body's size). `root` stands before the names of fields in errors.
ApiResult<Json> read_json(std::string_view text, const std::string& root = "");

// The same for JSON that must be an object.
ApiResult<Json> read_json_object(std::string_view text, const std::string& root = "");

// The field of an object, or null when it is absent or null. REQUIRES: `object` is an object.
const Json* field_of(const Json& object, const char* name);

// A value as an error shows it: not more than 64 bytes, one line.
std::string shown(const Json& value);

// Compact JSON.
std::string json_of(const Json& value);

}  // namespace paring::serve::wire
