// SPDX-License-Identifier: Apache-2.0
// GET /v1/traffic and below it: what was served, request by request and in sums. Functions are
// stateless.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "serve/api_error.h"
#include "serve/wire/openai_files.h"
#include "serve/wire/shape.h"
#include "serve/wire/wire_rules.h"
#include "store/traffic_rows.h"

namespace paring::serve::wire {

struct TrafficListCall {
  store::TrafficFilter filter;
  std::string after;  // TrafficPage::next
  std::int64_t limit = 0;
};
ApiResult<TrafficListCall> read_traffic_list(const NamedTexts& query, const WireRules& rules);
ApiResult<store::TrafficFilter> read_traffic_summary(const NamedTexts& query,
                                                     const WireRules& rules);
struct TrafficSeriesCall {
  store::TrafficFilter filter;
  std::int64_t bucket_seconds = 0;
};
ApiResult<TrafficSeriesCall> read_traffic_series(const NamedTexts& query, const WireRules& rules);

std::string traffic_list_answer(const store::TrafficPage& page);
// All rows of one id, with the times between their tokens and, where it is kept, what was said.
std::string traffic_requests_answer(std::span<const store::TrafficRequest> rows);
std::string traffic_summary_answer(const store::TrafficSums& sums);
std::string traffic_series_answer(std::span<const store::TrafficBucket> buckets,
                                  std::int64_t bucket_seconds);

const Shape& traffic_list_query();
const Shape& traffic_summary_query();
const Shape& traffic_series_query();
const Shape& traffic_list_answer_shape();
const Shape& traffic_requests_answer_shape();
const Shape& traffic_summary_answer_shape();
const Shape& traffic_series_answer_shape();

}  // namespace paring::serve::wire
