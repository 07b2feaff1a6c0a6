// SPDX-License-Identifier: Apache-2.0
// What all questions about traffic share: which requests are meant, and how money is written.
// Functions are stateless.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "serve/wire/detail/openai_common.h"
#include "serve/wire/shape.h"
#include "store/traffic_rows.h"

namespace paring::serve::wire {

inline constexpr std::int64_t kTrafficMillisecondsMax = 86'400'000;
inline constexpr std::int64_t kTrafficSecondsMax = 253'402'300'799;  // the end of the year 9999

std::vector<std::string> cache_names();
// The fields of a filter, and then `more`.
Shape filtered(std::vector<Field> more);
store::TrafficFilter filter_of(const Json& read);

Shape money_shape();
void append_money(std::string& out, const store::TrafficMoney& money);

}  // namespace paring::serve::wire
