// SPDX-License-Identifier: Apache-2.0
// The end of most routes: what was found as JSON, or why nothing was.
#pragma once

#include "serve/api_error.h"
#include "serve/server.h"

namespace paring::serve {

// Answers with the text that `json` makes of the value, or refuses with the error.
template <typename T, typename Json>
void answer_json(Server& server, const Call& call, const ApiResult<T>& result, Json json) {
  if (!result) return server.refuse(call, result.error());
  server.respond(call, 200, "application/json", json(*result));
}

}  // namespace paring::serve
