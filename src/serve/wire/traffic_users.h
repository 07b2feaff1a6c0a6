// SPDX-License-Identifier: Apache-2.0
// GET /v1/traffic/users: what each end user asked for. Functions are stateless.
#pragma once

#include <cstdint>
#include <string>

#include "serve/api_error.h"
#include "serve/wire/detail/flat_fields.h"
#include "serve/wire/shape.h"
#include "serve/wire/wire_rules.h"
#include "store/traffic_rows.h"

namespace paring::serve::wire {

struct TrafficUsersCall {
  store::TrafficFilter filter;
  std::int64_t limit = 0;
};
ApiResult<TrafficUsersCall> read_traffic_users(const FlatFields& query, const WireRules& rules);
std::string traffic_users_answer(const store::TrafficUsers& users);

const Shape& traffic_users_query();
const Shape& traffic_users_answer_shape();

}  // namespace paring::serve::wire
