// SPDX-License-Identifier: Apache-2.0
#include "measure/detail/bench_runner.h"

#include <algorithm>

#include "base/clock.h"
#include "base/metrics.h"
#include "base/process.h"
#include "engine/generator.h"

namespace paring::measure::detail {

void GreedySink::consume(Worker& worker, const model::LogitsChunk& chunk) {
  const float* row = chunk.logits + (chunk.rows - 1) * chunk.vocabulary;
  const Range part = worker.split(chunk.vocabulary, 16);
  Best& best = best_[worker.index()];
  best = {};
  if (part.empty()) return;
  const float* found = std::max_element(row + part.begin, row + part.end);
  best = {*found, found - row, true};
}

std::int32_t GreedySink::token() const {
  const Best* winner = nullptr;
  for (const Best& best : best_) {
    if (best.is_set && (winner == nullptr || best.logit > winner->logit)) winner = &best;
  }
  return winner == nullptr ? 0 : static_cast<std::int32_t>(winner->token);
}

Result<std::unique_ptr<BenchRunner>> BenchRunner::create(const model::ModelView& view,
                                                         Executor& executor,
                                                         const BenchOptions& options) {
  std::unique_ptr<BenchRunner> runner(new BenchRunner(view, executor, options));
  const std::size_t longest = std::max(
      {options.prefill_tokens, options.depth_tokens + options.decode_tokens, std::size_t{1}});
  const std::size_t chunk = std::min(engine::kPrefillChunkTokens, longest);
  PARING_TRY(runner->forward_,
             model::Forward::create(view.spec(), {.tokens_max = chunk, .context_tokens = longest},
                                    executor));
  PARING_TRY(
      model::KvPool pool,
      model::KvPool::create(view.spec(), options.kv_type,
                            {.tokens = longest + kWarmUpSteps,
                             .step_tokens = chunk,
                             .rewind_tokens = std::max(options.decode_tokens, kWarmUpSteps)}));
  runner->pool_ = std::make_unique<model::KvPool>(std::move(pool));
  runner->sequence_ = std::make_unique<model::KvSequence>(*runner->pool_);
  return runner;
}

Result<Timing> BenchRunner::prefill(std::span<const std::int32_t> prompt) {
  sequence_->truncate(0);
  const ThreadTimer timer;
  PARING_TRY_VOID(extend(prompt));
  metrics().prompt_tokens.add(prompt.size());
  return Timing{timer.seconds(), timer.own_share()};
}

Result<Timing> BenchRunner::decode(std::span<const std::int32_t> depth, std::size_t steps,
                                   std::span<const std::int32_t> tail) {
  if (!sequence_->can_truncate(depth.size())) {
    // Too short, or cut back further than the windows of some layers remember.
    if (sequence_->length() > depth.size()) sequence_->truncate(0);
    PARING_TRY_VOID(extend(depth.subspan(sequence_->length())));
  }
  sequence_->truncate(depth.size());
  const ThreadTimer timer;
  for (std::size_t i = 0; i < steps; ++i) {
    const std::int32_t token = tail.empty() ? sink_.token() : tail[i];
    PARING_TRY_VOID(step({&token, 1}, true));
  }
  metrics().generation_tokens.add(steps);
  return Timing{timer.seconds(), timer.own_share()};
}

Result<void> BenchRunner::extend(std::span<const std::int32_t> ids) {
  for (std::size_t done = 0; done < ids.size();) {
    const std::size_t count = std::min(step_tokens(), ids.size() - done);
    PARING_TRY_VOID(step(ids.subspan(done, count), done + count == ids.size()));
    done += count;
  }
  return {};
}

Result<void> BenchRunner::step(std::span<const std::int32_t> tokens, bool wants_logits) {
  PARING_TRY_VOID(sequence_->grow(tokens.size()));
  const model::Segment segment{sequence_.get(), tokens, wants_logits ? std::size_t{1} : 0};
  model::ForwardOptions options;
  options.numerics = numerics_;
  options.sink = &sink_;
  const double start = system_clock().monotonic_seconds();
  forward_->run(view_, {&segment, 1}, options);
  metrics().step_seconds.observe(system_clock().monotonic_seconds() - start);
  return {};
}

}  // namespace paring::measure::detail
