// SPDX-License-Identifier: Apache-2.0
#include "measure/detail/batch_runner.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/clock.h"
#include "base/process.h"
#include "cost/roofline.h"
#include "engine/token_work.h"
#include "measure/bench_batch.h"

namespace paring::measure::detail {

namespace {

// Stream of random numbers; those of sequences are smaller, or larger.
constexpr std::uint64_t kPrefixStream = kBenchSequencesMax;

class Ignore : public engine::SequenceListener {
 public:
  bool on_token(std::size_t, std::int32_t) override { return true; }
  void on_end(std::size_t, const engine::SequenceResult& result) override {
    if (result.end == engine::SequenceEnd::kFailed) error = result.error;
  }
  std::optional<Error> error;
};

Result<void> check(const BenchOptions& options, std::size_t sequences) {
  if (options.prefill_tokens == 0 || options.decode_tokens < 2) {
    return invalid_argument("a batch needs a prompt, and at least 2 tokens to generate",
                            "use --prefill 128 --decode 128");
  }
  if (options.shared_tokens >= options.prefill_tokens) {
    return invalid_argument(fmt::format("prompts of {} tokens cannot share {}",
                                        options.prefill_tokens, options.shared_tokens),
                            "at least the last token of a prompt is its own");
  }
  if (sequences == 0 || sequences > kBenchSequencesMax) {
    return invalid_argument(fmt::format("{} sequences cannot be timed together", sequences),
                            fmt::format("the limits are 1 and {}", kBenchSequencesMax));
  }
  return {};
}

}  // namespace

Result<BatchRunner> BatchRunner::create(const model::ModelView& view, Executor& executor,
                                        const BenchOptions& options, std::size_t sequences) {
  PARING_TRY_VOID(check(options, sequences));
  BatchRunner runner(view, options, sequences);
  const std::size_t length = options.prefill_tokens + options.decode_tokens;
  runner.step_tokens_ = std::max<std::size_t>(512, sequences);
  // Every sequence in pages of its own, but for the prefix that they share.
  const std::size_t paged = (length / kernels::kPageTokens + 1) * kernels::kPageTokens;
  const std::size_t prefixes = options.shared_tokens > 0 ? 1 : 0;
  PARING_TRY(runner.engine_,
             engine::BatchEngine::create(view.model(), executor,
                                         {.numerics = options.numerics,
                                          .kv_type = options.kv_type,
                                          .context_tokens = length + 1,
                                          .cache_tokens = paged * (sequences + prefixes),
                                          .step_tokens = runner.step_tokens_,
                                          .mixed_prompt_tokens = runner.step_tokens_,
                                          // Prompts first: what is timed is all of them together.
                                          .mixed_step_ratio = 1e9,
                                          .sequences_max = sequences,
                                          .waiting_max = sequences,
                                          .has_prefix_cache = prefixes != 0}));
  if (options.shared_tokens > 0) PARING_TRY_VOID(runner.run_alone(runner.prefix()));
  return runner;
}

std::vector<std::int32_t> BatchRunner::prefix() const {
  return random_prompt(options_.shared_tokens, view_->spec().vocabulary, kPrefixStream);
}

std::vector<std::int32_t> BatchRunner::prompt(std::size_t sequence) const {
  const std::size_t vocabulary = view_->spec().vocabulary;
  std::vector<std::int32_t> tokens = prefix();
  // New ones in each round: what an earlier one left in the cache must not help.
  const std::uint64_t stream =
      options_.shared_tokens == 0 ? sequence : (1 + rounds_) * (kPrefixStream + 1) + sequence;
  const std::vector<std::int32_t> own =
      random_prompt(options_.prefill_tokens - options_.shared_tokens, vocabulary, stream);
  tokens.insert(tokens.end(), own.begin(), own.end());
  return tokens;
}

Result<BatchRound> BatchRunner::run() {
  Ignore listener;
  for (std::size_t i = 0; i < sequences_; ++i) {
    PARING_TRY_VOID(engine_->submit(
        {.id = i, .prompt = prompt(i), .max_tokens = options_.decode_tokens}, listener));
  }
  ++rounds_;
  BatchRound round;
  const ThreadTimer timer;
  const double start = system_clock().monotonic_seconds();
  double last = start;
  while (engine_->step()) {
    const double now = system_clock().monotonic_seconds();
    if (engine_->last_step().prefill_tokens > 0) {
      round.prefill_seconds = now - start;
    } else if (engine_->last_step().decode_tokens == sequences_) {
      round.steps.push_back(now - last);
    }
    last = now;
  }
  if (listener.error) return std::move(*listener.error);
  round.own_share = timer.own_share();
  return round;
}

Result<void> BatchRunner::run_alone(std::vector<std::int32_t> prompt) {
  Ignore listener;
  PARING_TRY_VOID(engine_->submit({.prompt = std::move(prompt), .max_tokens = 2}, listener));
  while (engine_->step()) {
  }
  if (listener.error) return std::move(*listener.error);
  return {};
}

Result<void> BatchRunner::warm_up(std::size_t tokens) {
  return run_alone(
      random_prompt(std::min(tokens, options_.prefill_tokens), view_->spec().vocabulary));
}

PhaseSpeed BatchRunner::prefill_speed(const cost::Probes& probes, double seconds) const {
  const auto prompt = static_cast<double>(options_.prefill_tokens);
  const double first = static_cast<double>(options_.shared_tokens) + 1;
  const std::size_t own = options_.prefill_tokens - options_.shared_tokens;
  const std::size_t tokens = sequences_ * own;
  const cost::TokenWork work =
      engine::token_work(engine::matrix_loads(*view_), view_->spec(),
                         {options_.numerics,
                          options_.kv_type,
                          {first, prompt},
                          1 / static_cast<double>(own),
                          static_cast<double>(std::min(tokens, step_tokens_))});
  return phase_speed(tokens, seconds, cost::prefill_limit(work, tokens, step_tokens_, probes),
                     work.weight_bytes / static_cast<double>(step_tokens_), work);
}

PhaseSpeed BatchRunner::decode_speed(const cost::Probes& probes, double step_seconds) const {
  const auto prompt = static_cast<double>(options_.prefill_tokens);
  const double length = prompt + static_cast<double>(options_.decode_tokens);
  // One step reads the weights once for all, a shared prefix as well, and each sequence's own keys
  // and values.
  cost::TokenWork work = engine::token_work(engine::matrix_loads(*view_), view_->spec(),
                                            {options_.numerics,
                                             options_.kv_type,
                                             {prompt + 1, length},
                                             1,
                                             static_cast<double>(sequences_)});
  const auto sequences = static_cast<double>(sequences_);
  const double shared = static_cast<double>(options_.shared_tokens) / ((prompt + length) / 2);
  work.weight_bytes /= sequences;
  work.kv_bytes *= 1 - shared * (1 - 1 / sequences);
  return phase_speed(sequences_, step_seconds, cost::decode_limit(work, probes),
                     work.weight_bytes + work.kv_bytes, work);
}

}  // namespace paring::measure::detail
