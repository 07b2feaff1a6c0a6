// SPDX-License-Identifier: Apache-2.0
// For tests: a sample of traffic of an engine that is known.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "advise/replay/traffic_sample.h"
#include "base/random.h"

namespace paring::advise {

struct SampleForTest {
  std::size_t requests = 100;
  std::size_t distinct = 100;
  std::uint32_t instruction_blocks = 0;
  double seconds_between = 1;
  EngineFacts facts = engine_facts();

  static EngineFacts engine_facts() {
    EngineFacts facts;
    facts.path = "model.gguf";
    facts.kv_type = "q8";
    facts.weight_bytes = 1e8;
    facts.extra_bytes = 5e7;
    facts.resident_bytes = 1.8e8;
    facts.kv_bytes_per_token = 1000;
    facts.threads = 2;
    facts.context_tokens = 2048;
    facts.engine.response_cache_bytes = 1e6;
    return facts;
  }

  static double step_seconds(const engine::StepShape& shape) {
    return 0.002 + std::max(0.008, 0.0005 * shape.tokens) + 1e-7 * shape.decode_positions;
  }

  ReplayRequest request(std::uint64_t which) const {
    RandomStream random({.seed = 5, .sequence = which});
    ReplayRequest request;
    request.prompt_tokens = 32 * instruction_blocks + 40 + random.below(60);
    request.answer_tokens = 5 + random.below(30);
    request.key = which + 1;
    request.is_repeatable = true;
    for (std::uint32_t i = 0; i < instruction_blocks; ++i) request.blocks.push_back(i + 1);
    return request;
  }

  // Of the work, what the first of each request is; with one client, where steps are not shared.
  double distinct_share() const {
    double first = 0;
    double all = 0;
    for (std::size_t i = 0; i < requests; ++i) {
      const std::vector<ReplayRequest> one{request(i % distinct)};
      const double work = replay(one, facts.engine, step_seconds, {.clients = 1}).busy_s;
      all += work;
      if (i < distinct) first += work;
    }
    return first / all;
  }

  TrafficSample sample() const {
    TrafficSample sample;
    sample.model = "m";
    sample.facts = facts;
    for (std::size_t i = 0; i < requests; ++i) {
      sample.requests.push_back(request(i % distinct));
      sample.requests.back().arrival_s = static_cast<double>(i) * seconds_between;
    }
    sample.repeated = requests - std::min(requests, distinct);
    engine::StepSums sums;
    RandomStream random({.seed = 6});
    for (int i = 0; i < 4000; ++i) {
      const double decoding = random.below(9);
      const double prompt = decoding == 0 || random.below(4) == 0 ? 1 + random.below(400) : 0;
      const engine::StepShape shape{.tokens = decoding + prompt,
                                    .rows = decoding,
                                    .decode_positions = decoding * random.below(400)};
      sums.add(shape, step_seconds(shape));
    }
    sample.steps = sums.fit().value();
    return sample;
  }
};

}  // namespace paring::advise
