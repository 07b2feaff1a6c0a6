// SPDX-License-Identifier: Apache-2.0
// Several sequences together through the engine's continuous batching, timed step by step. Confined
// to one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/executor.h"
#include "base/result.h"
#include "engine/batch_engine.h"
#include "measure/bench.h"

namespace paring::measure::detail {

struct BatchRound {
  double prefill_seconds = 0;
  std::vector<double> steps;  // seconds of each step that generated a token of every sequence
  double own_share = 1;       // see PhaseSpeed
};

class BatchRunner {
 public:
  // `sequences` of options.prefill_tokens and options.decode_tokens each. InvalidArgument without a
  // prompt or with fewer than two tokens to generate, Exhausted when memory does not suffice.
  static Result<BatchRunner> create(const model::ModelView& view, Executor& executor,
                                    const BenchOptions& options, std::size_t sequences);
  // All sequences from their first token to their last: of a prompt's step comes the first token,
  // so there are options.decode_tokens - 1 steps of single tokens.
  Result<BatchRound> run();
  // One sequence of at most `tokens` prompt tokens, not timed.
  Result<void> warm_up(std::size_t tokens);

  // What the machine's limits are for each phase of so many seconds; of `decode`, the seconds of
  // one step.
  PhaseSpeed prefill_speed(const cost::Probes& probes, double seconds) const;
  PhaseSpeed decode_speed(const cost::Probes& probes, double step_seconds) const;

 private:
  BatchRunner(const model::ModelView& view, const BenchOptions& options, std::size_t sequences)
      : view_(&view), options_(options), sequences_(sequences) {}

  Result<void> run_alone(std::vector<std::int32_t> prompt);
  std::vector<std::int32_t> prefix() const;
  std::vector<std::int32_t> prompt(std::size_t sequence) const;

  const model::ModelView* view_;
  BenchOptions options_;
  std::size_t sequences_;
  std::size_t step_tokens_ = 0;
  std::size_t rounds_ = 0;
  std::unique_ptr<engine::BatchEngine> engine_;
};

}  // namespace paring::measure::detail
