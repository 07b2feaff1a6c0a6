// SPDX-License-Identifier: Apache-2.0
// What all routes of feedback do with the database. Stateless.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "serve/api_error.h"
#include "serve/route.h"
#include "store/control_db.h"
#include "store/scores.h"

namespace paring::serve {

inline constexpr std::int64_t kScoresMax = store::kScoresOfTenantMax;

// Keeps a score under the caller's tenant and key, as of now. 413: the tenant has as many as it
// may.
ApiResult<store::ScoreRow> keep_score(Server& server, const store::ControlDb& control,
                                      const Call& call, store::ScoreRow score);
// What went wrong; `param` names the id in the request.
std::optional<ApiError> remove_score(const store::ControlDb& control, const Call& call,
                                     const std::string& id, const char* param);

}  // namespace paring::serve
