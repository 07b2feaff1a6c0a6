// SPDX-License-Identifier: Apache-2.0
#include "measure/step_timer.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/clock.h"
#include "measure/bench.h"

namespace paring::measure {

namespace {

constexpr std::size_t kFirstSteps = 2;  // that do not count
// Streams of random numbers: of what stands in front of generated tokens, and of prompts.
constexpr std::uint64_t kPromptStreams = std::uint64_t{1} << 32;

class Answers : public engine::SequenceListener {
 public:
  bool on_token(std::size_t, std::int32_t) override { return !is_enough; }
  void on_end(std::size_t, const engine::SequenceResult& result) override {
    if (result.end == engine::SequenceEnd::kFailed) error = result.error;
  }
  bool is_enough = false;
  std::optional<Error> error;
};

std::size_t whole_pages(std::size_t tokens) {
  return (tokens / kernels::kPageTokens + 1) * kernels::kPageTokens;
}

}  // namespace

Result<std::unique_ptr<StepTimer>> StepTimer::create(const model::Model& model, Executor& executor,
                                                     const StepTimerOptions& options) {
  if (options.sequences_max == 0 || options.prompt_tokens_max == 0 || options.depth_tokens == 0) {
    return invalid_argument("steps are timed with at least one sequence and one token");
  }
  std::unique_ptr<StepTimer> timer(new StepTimer(options));
  timer->vocabulary_ = model.spec().vocabulary;
  const std::size_t answer = kFirstSteps + kStepsMax + 2;
  const std::size_t one = options.depth_tokens + answer;
  const std::size_t many =
      kDepthTokensMax + options.sequences_max * (answer + 2 * kernels::kPageTokens);
  const std::size_t context = std::max(one, options.prompt_tokens_max + 1);
  // The beginnings of all sequences stay in the cache from run to run, beside a prompt.
  const std::size_t cache =
      2 * many + whole_pages(one) + 2 * whole_pages(options.prompt_tokens_max);
  const std::size_t step = std::max(options.prompt_tokens_max, options.sequences_max);
  PARING_TRY(timer->engine_,
             engine::BatchEngine::create(model, executor,
                                         {.numerics = options.numerics,
                                          .kv_type = options.kv_type,
                                          .context_tokens = context + 1,
                                          .cache_tokens = cache,
                                          .step_tokens = step,
                                          .mixed_prompt_tokens = step,
                                          // Prompts first, so that all generate together.
                                          .mixed_step_ratio = 1e9,
                                          .sequences_max = options.sequences_max,
                                          .waiting_max = options.sequences_max}));
  return timer;
}

std::vector<std::int32_t> StepTimer::random(std::size_t tokens, std::uint64_t stream) const {
  return random_prompt(tokens, vocabulary_, stream);
}

Result<void> StepTimer::run(const StepLoad& load, double seconds, std::vector<double>& times) {
  if (load.sequences > options_.sequences_max || load.prompt_tokens > options_.prompt_tokens_max ||
      (load.sequences == 0) == (load.prompt_tokens == 0)) {
    return invalid_argument("steps are timed of sequences or of a prompt, within the options");
  }
  return load.sequences > 0 ? generate(load.sequences, seconds, times)
                            : read_prompts(load.prompt_tokens, seconds, times);
}

Result<void> StepTimer::generate(std::size_t sequences, double seconds,
                                 std::vector<double>& times) {
  const std::size_t depth =
      std::clamp<std::size_t>(kDepthTokensMax / sequences, 1, options_.depth_tokens);
  Answers answers;
  for (std::size_t i = 0; i < sequences; ++i) {
    PARING_TRY_VOID(engine_->submit(
        {.id = i, .prompt = random(depth, i), .max_tokens = kFirstSteps + kStepsMax + 1}, answers));
  }
  std::size_t steps = 0;
  double start = 0;
  while (engine_->step()) {
    const api::StepRecord& step = engine_->last_step();
    if (step.prefill_tokens > 0 || step.decode_tokens != sequences || answers.is_enough) continue;
    const double now = system_clock().monotonic_seconds();
    if (++steps <= kFirstSteps) {
      start = now;
      continue;
    }
    times.push_back(step.seconds);
    answers.is_enough = now - start >= seconds;
  }
  if (answers.error) return std::move(*answers.error);
  return {};
}

Result<void> StepTimer::read_prompts(std::size_t tokens, double seconds,
                                     std::vector<double>& times) {
  double start = 0;
  for (std::size_t i = 0;; ++i) {
    Answers answers;
    // Another one each time: no beginning of it is in the cache.
    PARING_TRY_VOID(engine_->submit(
        {.prompt = random(tokens, kPromptStreams + prompts_++), .max_tokens = 1}, answers));
    double took = 0;
    while (engine_->step()) took += engine_->last_step().seconds;
    if (answers.error) return std::move(*answers.error);
    const double now = system_clock().monotonic_seconds();
    if (i < kFirstSteps - 1) {
      start = now;
      continue;
    }
    times.push_back(took);
    if (now - start >= seconds) return {};
  }
}

}  // namespace paring::measure
