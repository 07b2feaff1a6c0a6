// SPDX-License-Identifier: Apache-2.0
// TrafficSample: what a server kept of a model's requests, made ready to be replayed: the requests,
// what the engine was set up with, how long its steps took, and what was measured. Plain data and a
// function that reads it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "advise/replay/replay.h"
#include "base/result.h"
#include "engine/step_sums.h"
#include "store/traffic.h"

namespace paring::advise {

// What an engine was set up with, as the server wrote it down (serve/engine_hours.h).
struct EngineFacts {
  std::string path;  // of the model
  std::string variant;
  std::string kv_type;
  std::string isa;
  double weight_bytes = 0;
  double extra_bytes = 0;     // cache of keys and values, buffers
  double resident_bytes = 0;  // of the process, when it was last written; 0: not known
  double kv_bytes_per_token = 0;
  std::size_t threads = 1;
  std::size_t context_tokens = 0;
  bool has_speculation = false;
  ReplayEngine engine;
};

// Corrupt: not what a server writes.
Result<EngineFacts> facts_of(const store::TrafficEngine& engine);

struct Measured {
  std::size_t requests = 0;  // that the engine computed
  double work_s = 0;         // of its steps
  double gap_s = 0;          // mean between tokens
  double first_token_s = 0;  // mean
  double joules = 0;
  double money = 0;
  std::string currency;
  double cached_share = 0;  // of prompt tokens
};

struct TrafficSample {
  std::string model;
  double from_s = 0;  // since 1970: first and last request
  double to_s = 0;
  std::vector<ReplayRequest> requests;  // ascending
  std::size_t failed = 0;               // requests that are left out
  std::size_t unmarked = 0;             // without marks: of an earlier version; like no other
  std::size_t repeated = 0;             // that equal an earlier one, whether or not repeatable
  std::size_t repeated_unrepeatable = 0;
  EngineFacts facts;        // of the last engine
  engine::StepModel steps;  // of all engines that were set up like it
  Measured measured;        // of requests that it computed
};

// Tokens in front of a generated one, mean over all of them; 0 without any.
double mean_depth(const TrafficSample& sample) noexcept;

struct SampleOptions {
  std::string model = {};  // "": that of the last engine
  double from_s = 0;
  double to_s = 1e12;
  std::size_t requests_max = 20'000;  // the newest
};
inline constexpr std::size_t kSampleRequestsMin = 20;

// NotFound: no requests of that model, or fewer than kSampleRequestsMin; or the server that wrote
// them did not write what its steps took. Unavailable: too few steps.
Result<TrafficSample> read_sample(const store::TrafficDb& traffic, const SampleOptions& options);

}  // namespace paring::advise
