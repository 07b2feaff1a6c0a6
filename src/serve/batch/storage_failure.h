// SPDX-License-Identifier: Apache-2.0
// What clients see when files or the database fail: a status and what to do, never a path, which
// is in the log. Stateless.
#pragma once

#include <string_view>

#include "base/result.h"
#include "serve/api_error.h"

namespace paring::serve {

// Logs `error` of `what` ("files") and gives the answer: 503 where trying again makes sense, which
// it does on a full disk; errors of the request itself stay as they are.
ApiError storage_failure(std::string_view what, const Error& error);

}  // namespace paring::serve
