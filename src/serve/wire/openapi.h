// SPDX-License-Identifier: Apache-2.0
// The document of GET /openapi.json and the reference page of routes, both made from endpoints.h.
// Stateless, any thread.
#pragma once

#include <string>
#include <string_view>

namespace paring::serve::wire {

// OpenAPI 3.1 as JSON, of the bodies that WireRules::is_strict takes. `version`: of the server.
std::string openapi_document(std::string_view version);

// Markdown: every endpoint with every field.
std::string routes_reference();

}  // namespace paring::serve::wire
