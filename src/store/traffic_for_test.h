// SPDX-License-Identifier: Apache-2.0
// For tests: requests as a function of a number.
#pragma once

#include <string>
#include <vector>

#include "base/random.h"
#include "store/token_gaps.h"
#include "store/traffic_rows.h"

namespace paring::store {

inline constexpr double kDayForTest = 1'795'392'000;  // 2026-11-23T00:00:00Z

inline TrafficRequest request_for_test(std::uint64_t number, double started_s) {
  RandomStream random({.seed = 7, .sequence = number});
  TrafficRequest request;
  request.id = "req_" + std::to_string(number);
  request.trace_id = std::string(24, 'a') + std::to_string(10'000'000 + number % 10'000'000);
  request.span_id = std::to_string(1'000'000'000'000'000 + number);
  request.started_s = started_s;
  request.route = random.below(4) == 0 ? "/v1/completions" : "/v1/chat/completions";
  request.status = random.below(20) == 0 ? 500 : 200;
  request.is_complete = random.below(10) != 0;
  request.end = request.status == 500 ? "error" : "stop";
  request.key_id = "key_" + std::to_string(random.below(4));
  request.tenant = "default";
  request.model = random.below(3) == 0 ? "small" : "large";
  request.variant = std::string(60, request.model[0]);
  request.cache = random.below(8) == 0 ? TrafficCache::kExact : TrafficCache::kNone;
  request.tokens = {random.below(900), random.below(100), 20 + random.below(20),
                    random.below(5),   random.below(9),   random.below(3)};
  request.seconds = {random.uniform() / 100, random.uniform(), random.uniform() * 4,
                     random.uniform() + 0.01, random.uniform() * 5 + 0.01};
  request.operations = 1e9 + random.below(1000);
  request.bytes_read = 1e8 + random.below(1000);
  request.joules = 1 + random.below(10);
  request.joules_kind = random.below(2) == 0 ? JoulesKind::kMeasured : JoulesKind::kEstimated;
  request.prompt_version = random.below(2) == 0 ? "v1" : "";
  request.seconds.prefill_work = random.uniform();
  request.seconds.decode_work = random.uniform();
  request.marks = {number + 1, random.below(2) == 0, std::vector<std::uint8_t>(8, 0x5a)};
  request.money = {0.5, 0.25, 0.125, "EUR"};
  request.peak_pages = 3;
  request.preemptions = random.below(2);
  std::vector<std::int64_t> gaps;
  for (int i = 0; i < 20; ++i) gaps.push_back(20'000 + random.below(900));
  request.gaps = encode_gaps(gaps);
  return request;
}

}  // namespace paring::store
