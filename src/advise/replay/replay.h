// SPDX-License-Identifier: Apache-2.0
// Replay: what a server would have done with requests that were served before, were it set up
// otherwise. It goes through the steps that the engine would make, by the engine's own rules (who
// joins, how long prompts are cut, which prefixes stay: engine/batch_engine.h) and takes the time
// of each from a function. Deterministic, pure.
//
// What it leaves out: priorities and tenants' turns, windows of attention, and pages that the end
// of an answer makes useful to the next prompt of its conversation. A sequence never loses its
// pages to another one: when all are in use, who comes waits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "engine/step_sums.h"

namespace paring::advise {

struct ReplayRequest {
  double arrival_s = 0;  // since the first one
  std::size_t prompt_tokens = 0;
  std::size_t answer_tokens = 0;
  // Guesses that were checked, and that were right, in all of its answer.
  std::size_t drafted = 0;
  std::size_t accepted = 0;
  std::uint64_t key = 0;                // equal for equal requests; 0: like no other
  bool is_repeatable = false;           // equal requests get equal answers
  double overhead_s = 0;                // of its time, outside of the engine
  std::vector<std::uint32_t> blocks{};  // hashes of its prompt's whole pages, each with all before
};

// What of a server's settings decides its steps.
struct ReplayEngine {
  std::size_t sequences_max = 64;
  std::size_t step_tokens = 512;
  std::size_t mixed_prompt_tokens = 128;
  double mixed_step_ratio = 2;
  std::size_t cache_tokens = 8192;
  bool has_prefix_cache = true;
  // Of whole answers; 0: none. An answer takes kAnswerBytes and kTokenBytes for each token.
  double response_cache_bytes = 0;
  double response_cache_s = 3600;
  bool repeats_all = false;  // gives answers again to requests that are not repeatable, too

  static constexpr double kAnswerBytes = 600;
  static constexpr double kTokenBytes = 30;
};

// When requests come: at their own times, or from so many clients, each of which sends the next one
// when it has its answer.
struct ReplayLoad {
  std::size_t clients = 0;  // 0: at their own times
};

struct ReplayOutcome {
  std::size_t requests = 0;
  std::size_t given_again = 0;  // by the cache of answers, or together with an equal one
  std::size_t steps = 0;
  double wall_s = 0;         // from the first arrival to the last answer
  double busy_s = 0;         // in steps
  double prompt_tokens = 0;  // of all requests that were computed
  double cached_tokens = 0;  // of those, found in the prefix cache
  double answer_tokens = 0;  // of all requests
  double computed_answer_tokens = 0;
  double first_token_s = 0;  // means over requests, but for the gap: over tokens
  double first_token_p95_s = 0;
  double gap_s = 0;  // of answers that were computed
  double total_s = 0;
  double queue_s = 0;
  double running = 0;          // sequences in a step, mean over busy time
  std::size_t pages_peak = 0;  // of the cache of keys and values
  double answers_per_second() const { return wall_s > 0 ? requests_d() / wall_s : 0; }
  double answer_tokens_per_second() const { return wall_s > 0 ? answer_tokens / wall_s : 0; }

 private:
  double requests_d() const { return static_cast<double>(requests); }
};

using StepCost = std::function<double(const engine::StepShape&)>;

// REQUIRES: requests in the order of their arrival; a positive cost for every step.
ReplayOutcome replay(std::span<const ReplayRequest> requests, const ReplayEngine& engine,
                     const StepCost& cost, const ReplayLoad& load);

}  // namespace paring::advise
