// SPDX-License-Identifier: Apache-2.0
// One model with one sequence, driven as a generator drives it and timed: what `bench` repeats, and
// what a comparison with another program alternates with it. Confined to one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/executor.h"
#include "base/result.h"
#include "measure/bench.h"
#include "model/forward.h"
#include "model/kv_cache.h"

namespace paring::measure::detail {

// Decode steps before the clock runs: enough to bring weights and code into the caches.
inline constexpr std::size_t kWarmUpSteps = 4;

// One run of a phase.
struct Timing {
  double seconds = 0;
  double own_share = 1;  // see PhaseSpeed
};

// The most likely token of the last row of logits, as a greedy user would take it.
class GreedySink : public model::LogitsSink {
 public:
  explicit GreedySink(std::size_t threads) : best_(threads) {}
  void consume(Worker& worker, const model::LogitsChunk& chunk) override;
  std::int32_t token() const;

 private:
  struct Best {
    float logit = 0;
    std::ptrdiff_t token = 0;
    bool is_set = false;
  };
  std::vector<Best> best_;
};

class BenchRunner {
 public:
  // For the tokens that `options` asks for. Exhausted when memory does not suffice. `view` and
  // `executor` must outlive the result.
  static Result<std::unique_ptr<BenchRunner>> create(const model::ModelView& view,
                                                     Executor& executor,
                                                     const BenchOptions& options);

  const model::KvPool& pool() const { return *pool_; }
  const model::Forward& forward() const { return *forward_; }
  std::size_t step_tokens() const { return forward_->tokens_max(); }

  // A new sequence of `prompt` up to the logits of its last token.
  Result<Timing> prefill(std::span<const std::int32_t> prompt);
  // `steps` steps of one token after `depth`, which is computed outside of the time where it is not
  // in the cache: the tokens of `tail`, or when it is empty the most likely ones.
  Result<Timing> decode(std::span<const std::int32_t> depth, std::size_t steps,
                        std::span<const std::int32_t> tail = {});

 private:
  BenchRunner(const model::ModelView& view, Executor& executor, const BenchOptions& options)
      : view_(view), numerics_(options.numerics), sink_(executor.threads()) {}
  Result<void> extend(std::span<const std::int32_t> ids);
  Result<void> step(std::span<const std::int32_t> tokens, bool wants_logits);

  const model::ModelView& view_;
  model::Numerics numerics_;
  GreedySink sink_;
  std::unique_ptr<model::Forward> forward_;
  std::unique_ptr<model::KvPool> pool_;
  std::unique_ptr<model::KvSequence> sequence_;
};

}  // namespace paring::measure::detail
