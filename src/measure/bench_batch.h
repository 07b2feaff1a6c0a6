// SPDX-License-Identifier: Apache-2.0
// Speed of several sequences together, driven through the engine's continuous batching as a server
// drives it. Prompts are random and share nothing but the first options.shared_tokens.
#pragma once

#include <cstddef>

#include "base/executor.h"
#include "base/result.h"
#include "cost/probes.h"
#include "measure/bench.h"
#include "model/weights.h"

namespace paring::measure {

struct BatchResult {
  std::size_t sequences = 0;
  // Of all sequences together: prompts, then one token of each a step.
  PhaseSpeed prefill;
  PhaseSpeed decode;
  // Seconds between a sequence's tokens.
  double gap_median_seconds = 0;
  double gap_worst_seconds = 0;
};

// `sequences` prompts of options.prefill_tokens, then options.decode_tokens of each; medians of
// options.repetitions. InvalidArgument without a prompt, with one that is shared as a whole, or
// with fewer than two tokens to generate;
// Exhausted when memory does not suffice.
Result<BatchResult> bench_batch(const model::ModelView& view, Executor& executor,
                                const cost::Probes& probes, const BenchOptions& options,
                                std::size_t sequences);

inline constexpr std::size_t kBenchSequencesMax = 1024;

}  // namespace paring::measure
