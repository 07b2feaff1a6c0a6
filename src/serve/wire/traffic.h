// SPDX-License-Identifier: Apache-2.0
// GET /v1/traffic and below it: what was served, request by request and in sums. Functions are
// stateless.
#pragma once

#include <map>
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
// In seconds: how many values are at most so long is told beside percentiles.
struct TrafficBounds {
  std::optional<double> first_token;
  std::optional<double> total;
  std::optional<double> gap;
};
struct TrafficSummaryCall {
  store::TrafficFilter filter;
  TrafficBounds bounds;
  std::optional<store::TrafficKey> by;
};
ApiResult<TrafficSummaryCall> read_traffic_summary(const NamedTexts& query, const WireRules& rules);
struct TrafficSeriesCall {
  store::TrafficFilter filter;
  TrafficBounds bounds;
  std::int64_t bucket_seconds = 0;
};
ApiResult<TrafficSeriesCall> read_traffic_series(const NamedTexts& query, const WireRules& rules);

std::string traffic_list_answer(const store::TrafficPage& page);
// All rows of one id, with the times between their tokens and, where it is kept, what was said.
std::string traffic_requests_answer(std::span<const store::TrafficRequest> rows);
std::string traffic_summary_answer(const store::TrafficSums& sums, const TrafficBounds& bounds);
// Of all, and apart by `by`.
std::string traffic_groups_answer(const std::map<std::string, store::TrafficSums>& groups,
                                  store::TrafficKey by, const TrafficBounds& bounds);
std::string traffic_series_answer(std::span<const store::TrafficBucket> buckets,
                                  const TrafficSeriesCall& call);

const Shape& traffic_list_query();
const Shape& traffic_summary_query();
const Shape& traffic_series_query();
const Shape& traffic_list_answer_shape();
const Shape& traffic_requests_answer_shape();
const Shape& traffic_summary_answer_shape();
const Shape& traffic_series_answer_shape();

}  // namespace paring::serve::wire
