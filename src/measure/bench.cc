// SPDX-License-Identifier: Apache-2.0
#include "measure/bench.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <vector>

#include "base/clock.h"
#include "base/metrics.h"
#include "base/process.h"
#include "base/random.h"
#include "cost/roofline.h"
#include "engine/generator.h"
#include "measure/memory.h"
#include "measure/statistics.h"
#include "measure/token_work.h"
#include "model/kv_cache.h"
#include "quant/format.h"

namespace paring::measure {

namespace {

using model::ForwardOptions;
using model::LogitsChunk;
using model::ModelView;

// Decode steps before the clock runs: enough to bring weights and code into the caches.
constexpr std::size_t kWarmUpSteps = 4;

// The most likely token of the last row of logits, as a greedy user would take it.
class GreedySink : public model::LogitsSink {
 public:
  explicit GreedySink(std::size_t threads) : best_(threads) {}
  void consume(Worker& worker, const LogitsChunk& chunk) override {
    const float* row = chunk.logits + (chunk.rows - 1) * chunk.vocabulary;
    const Range part = worker.split(chunk.vocabulary, 16);
    Best& best = best_[worker.index()];
    best = {};
    if (part.empty()) return;
    const float* found = std::max_element(row + part.begin, row + part.end);
    best = {*found, found - row, true};
  }
  std::int32_t token() const {
    const Best* winner = nullptr;
    for (const Best& best : best_) {
      if (best.is_set && (winner == nullptr || best.logit > winner->logit)) winner = &best;
    }
    return winner == nullptr ? 0 : static_cast<std::int32_t>(winner->token);
  }

 private:
  struct Best {
    float logit = 0;
    std::ptrdiff_t token = 0;
    bool is_set = false;
  };
  std::vector<Best> best_;
};

// One run of a phase.
struct Timing {
  double seconds = 0;
  double own_share = 1;  // see PhaseSpeed
};

std::size_t quiet_count(const std::vector<Timing>& runs) {
  return static_cast<std::size_t>(std::count_if(
      runs.begin(), runs.end(), [](const Timing& run) { return run.own_share >= kQuietShare; }));
}

// The median of the quiet runs, with the least of their shares; the fastest when none was quiet.
Timing settle(std::vector<Timing> runs) {
  if (quiet_count(runs) == 0) {
    return *std::min_element(runs.begin(), runs.end(), [](const Timing& a, const Timing& b) {
      return a.seconds < b.seconds;
    });
  }
  std::erase_if(runs, [](const Timing& run) { return run.own_share < kQuietShare; });
  std::vector<double> seconds;
  Timing settled;
  for (const Timing& run : runs) {
    seconds.push_back(run.seconds);
    settled.own_share = std::min(settled.own_share, run.own_share);
  }
  settled.seconds = median(std::move(seconds));
  return settled;
}

// One model with one sequence, driven as a generator drives it.
class Runner {
 public:
  static Result<std::unique_ptr<Runner>> create(const ModelView& view, Executor& executor,
                                                const BenchOptions& options) {
    std::unique_ptr<Runner> runner(new Runner(view, executor, options));
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

  const model::KvPool& pool() const { return *pool_; }
  const model::Forward& forward() const { return *forward_; }
  std::size_t step_tokens() const { return forward_->tokens_max(); }

  // A new sequence of `tokens` tokens up to the logits of the last one.
  Result<Timing> prefill(std::size_t tokens) {
    sequence_->truncate(0);
    const ThreadTimer timer;
    PARING_TRY_VOID(extend(tokens));
    metrics().prompt_tokens.add(tokens);
    return Timing{timer.seconds(), timer.own_share()};
  }

  // `steps` greedy steps of one token after `depth` tokens.
  Result<Timing> decode(std::size_t depth, std::size_t steps) {
    if (!sequence_->can_truncate(depth)) {
      // Too short, or cut back further than the windows of some layers remember.
      if (sequence_->length() > depth) sequence_->truncate(0);
      PARING_TRY_VOID(extend(depth - sequence_->length()));
    }
    sequence_->truncate(depth);
    const ThreadTimer timer;
    for (std::size_t i = 0; i < steps; ++i) {
      const std::int32_t token = sink_.token();
      PARING_TRY_VOID(step({&token, 1}, true));
    }
    metrics().generation_tokens.add(steps);
    return Timing{timer.seconds(), timer.own_share()};
  }

 private:
  Runner(const ModelView& view, Executor& executor, const BenchOptions& options)
      : view_(view), numerics_(options.numerics), sink_(executor.threads()) {}

  // Appends random tokens.
  Result<void> extend(std::size_t tokens) {
    const std::vector<std::int32_t> ids = random_prompt(tokens, view_.spec().vocabulary);
    for (std::size_t done = 0; done < tokens;) {
      const std::size_t count = std::min(step_tokens(), tokens - done);
      PARING_TRY_VOID(step(std::span(ids).subspan(done, count), done + count == tokens));
      done += count;
    }
    return {};
  }

  Result<void> step(std::span<const std::int32_t> tokens, bool wants_logits) {
    PARING_TRY_VOID(sequence_->grow(tokens.size()));
    const model::Segment segment{sequence_.get(), tokens, wants_logits ? std::size_t{1} : 0};
    ForwardOptions options;
    options.numerics = numerics_;
    options.sink = &sink_;
    const double start = system_clock().monotonic_seconds();
    forward_->run(view_, {&segment, 1}, options);
    metrics().step_seconds.observe(system_clock().monotonic_seconds() - start);
    return {};
  }

  const ModelView& view_;
  model::Numerics numerics_;
  GreedySink sink_;
  std::unique_ptr<model::Forward> forward_;
  std::unique_ptr<model::KvPool> pool_;
  std::unique_ptr<model::KvSequence> sequence_;
};

cost::TokenWork phase_work(const ModelView& view, const BenchOptions& options,
                           const model::PositionRange& range, double head_share) {
  return token_work(matrix_loads(view), view.spec(),
                    {options.numerics, options.kv_type, range, head_share});
}

PhaseSpeed summarize_prefill(const ModelView& view, const cost::Probes& probes,
                             const BenchOptions& options, std::size_t step_tokens,
                             const Timing& run) {
  const auto tokens = static_cast<double>(options.prefill_tokens);
  const cost::TokenWork work = phase_work(view, options, {1, tokens}, 1 / tokens);
  const std::size_t steps = (options.prefill_tokens + step_tokens - 1) / step_tokens;
  const double bytes = static_cast<double>(steps) * (work.weight_bytes + work.kv_bytes) / tokens;
  PhaseSpeed speed = phase_speed(
      options.prefill_tokens, run.seconds,
      cost::prefill_limit(work, options.prefill_tokens, step_tokens, probes), bytes, work);
  speed.own_share = run.own_share;
  return speed;
}

PhaseSpeed summarize_decode(const ModelView& view, const cost::Probes& probes,
                            const BenchOptions& options, const Timing& run) {
  const auto depth = static_cast<double>(options.depth_tokens);
  const auto steps = static_cast<double>(options.decode_tokens);
  const cost::TokenWork work = phase_work(view, options, {depth + 1, depth + steps}, 1);
  PhaseSpeed speed =
      phase_speed(options.decode_tokens, run.seconds, cost::decode_limit(work, probes),
                  work.weight_bytes + work.kv_bytes, work);
  speed.own_share = run.own_share;
  return speed;
}

Result<void> check_options(const BenchOptions& options) {
  if (options.repetitions == 0) {
    return invalid_argument("a benchmark of 0 repetitions measures nothing", "use at least 1");
  }
  if (options.prefill_tokens == 0 && options.decode_tokens == 0) {
    return invalid_argument("a benchmark of 0 tokens in both phases measures nothing",
                            "use --prefill or --decode with at least 1");
  }
  const std::size_t largest = std::max(
      {options.prefill_tokens, options.decode_tokens, options.depth_tokens, options.repetitions});
  if (largest > kBenchTokensMax) {
    return invalid_argument(fmt::format("a benchmark of {} tokens is too long", largest),
                            fmt::format("the limit is {}", kBenchTokensMax));
  }
  return {};
}

}  // namespace

PhaseSpeed phase_speed(std::size_t tokens, double seconds, double limit, double bytes_per_token,
                       const cost::TokenWork& work) {
  PhaseSpeed speed;
  speed.tokens = tokens;
  speed.seconds = seconds;
  speed.tokens_per_second = seconds > 0 ? static_cast<double>(tokens) / seconds : 0;
  speed.limit_tokens_per_second = limit;
  speed.limit_share = cost::limit_share(speed.tokens_per_second, limit);
  speed.bytes_per_token = bytes_per_token;
  speed.operations_per_token = work.int8_operations + work.f32_operations;
  return speed;
}

std::vector<std::int32_t> random_prompt(std::size_t tokens, std::size_t vocabulary,
                                        std::uint64_t stream) {
  RandomStream random({.seed = 1, .sequence = stream});
  std::vector<std::int32_t> ids(tokens);
  for (std::int32_t& id : ids) {
    id = static_cast<std::int32_t>(random.below(static_cast<std::uint32_t>(vocabulary)));
  }
  return ids;
}

Result<BenchResult> bench(const ModelView& view, Executor& executor, const cost::Probes& probes,
                          const BenchOptions& options) {
  PARING_TRY_VOID(check_options(options));
  PARING_TRY(const std::unique_ptr<Runner> runner, Runner::create(view, executor, options));
  // The warm-up is a whole prefill, which also touches the pages of the cache for the first time.
  if (options.prefill_tokens > 0) {
    PARING_TRY([[maybe_unused]] const Timing warm_up, runner->prefill(options.prefill_tokens));
  }
  std::vector<Timing> prefills;
  std::vector<Timing> decodes;
  const auto is_enough = [&](const std::vector<Timing>& runs, std::size_t tokens) {
    return tokens == 0 || quiet_count(runs) >= options.repetitions;
  };
  for (std::size_t i = 0; i < options.repetitions + options.busy_repetitions; ++i) {
    if (i >= options.repetitions && is_enough(prefills, options.prefill_tokens) &&
        is_enough(decodes, options.decode_tokens)) {
      break;
    }
    if (options.prefill_tokens > 0) {
      PARING_TRY(const Timing run, runner->prefill(options.prefill_tokens));
      prefills.push_back(run);
    }
    if (options.decode_tokens > 0) {
      PARING_TRY([[maybe_unused]] const Timing warm_up,
                 runner->decode(options.depth_tokens, kWarmUpSteps));
      PARING_TRY(const Timing run, runner->decode(options.depth_tokens, options.decode_tokens));
      decodes.push_back(run);
    }
  }
  BenchResult result;
  if (options.prefill_tokens > 0) {
    result.prefill =
        summarize_prefill(view, probes, options, runner->step_tokens(), settle(prefills));
  }
  if (options.decode_tokens > 0) {
    result.decode = summarize_decode(view, probes, options, settle(decodes));
  }
  result.weight_bytes = view.model().weight_bytes();
  for (std::size_t i = 0; i < view.model().matrix_count(); ++i) {
    result.weight_bytes += view.matrix(i).bytes() - view.model().matrix(i).bytes();
  }
  result.kv_bytes = runner->pool().bytes();
  result.buffer_bytes = runner->forward().bytes();
  return result;
}

}  // namespace paring::measure
