// SPDX-License-Identifier: Apache-2.0
#include "measure/versus/own_side.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <optional>

#include "measure/detail/batch_runner.h"
#include "measure/detail/bench_runner.h"

namespace paring::measure {

namespace {

constexpr std::size_t kWarmUpPrompt = 32;  // as llama_worker.py has it

class OneSequence : public OwnSide {
 public:
  OneSequence(const model::ModelView& view, const BenchOptions& options, const CaseTokens& tokens,
              std::unique_ptr<detail::BenchRunner> runner)
      : view_(view), options_(options), tokens_(tokens), runner_(std::move(runner)) {}

  Result<double> run() override {
    const std::span<const std::int32_t> prompt = tokens_.prompts[0];
    const std::span<const std::int32_t> tail = tokens_.tail;
    detail::Timing timing;
    if (is_prefill()) {
      PARING_TRY_VOID(runner_->prefill(prompt.first(std::min(kWarmUpPrompt, prompt.size()))));
      PARING_TRY(timing, runner_->prefill(prompt));
    } else {
      PARING_TRY_VOID(runner_->decode(prompt, std::min(detail::kWarmUpSteps, tail.size()), tail));
      PARING_TRY(timing, runner_->decode(prompt, tail.size(), tail));
    }
    return timing.seconds;
  }

  PhaseSpeed speed(const cost::Probes& probes, double seconds) const override {
    return is_prefill() ? prefill_speed(view_, probes, options_, runner_->step_tokens(), seconds)
                        : decode_speed(view_, probes, options_, seconds);
  }

 private:
  bool is_prefill() const { return tokens_.tail.empty(); }

  const model::ModelView& view_;
  BenchOptions options_;
  const CaseTokens& tokens_;
  std::unique_ptr<detail::BenchRunner> runner_;
};

class Together : public OwnSide {
 public:
  Together(detail::BatchRunner runner, std::size_t steps)
      : runner_(std::move(runner)), steps_(steps) {}

  Result<double> run() override {
    PARING_TRY_VOID(runner_.warm_up(kWarmUpPrompt));
    PARING_TRY(const detail::BatchRound round, runner_.run());
    // Prompts that take several steps let the first sequences begin, and end, before the others: of
    // the steps that all share there are fewer than tokens.
    const std::size_t full = round.steps.size();
    if (2 * full < steps_) {
      return invalid_argument(
          fmt::format("only {} of {} steps generate for all sequences at once", full, steps_),
          "longer answers, shorter prompts or fewer sequences");
    }
    const double seconds = std::accumulate(round.steps.begin(), round.steps.end(), 0.0);
    return seconds * static_cast<double>(steps_) / static_cast<double>(full);
  }

  PhaseSpeed speed(const cost::Probes& probes, double seconds) const override {
    return runner_.decode_speed(probes, seconds / static_cast<double>(steps_));
  }

 private:
  detail::BatchRunner runner_;
  std::size_t steps_;
};

Result<std::unique_ptr<OwnSide>> make(const model::ModelView& view, Executor& executor,
                                      const BenchOptions& computing, const SpeedCase& c,
                                      const CaseTokens& tokens) {
  BenchOptions options = computing;
  if (c.kind == CaseKind::kTogether) {
    options.prefill_tokens = c.prompt;
    options.decode_tokens = c.decode + 1;  // the step of the prompt gives the first of them
    PARING_TRY(detail::BatchRunner runner,
               detail::BatchRunner::create(view, executor, options, c.sequences));
    return std::unique_ptr<OwnSide>(new Together(std::move(runner), c.decode));
  }
  const bool is_prefill = c.kind == CaseKind::kPrefill;
  options.prefill_tokens = is_prefill ? c.prompt : 0;
  options.depth_tokens = is_prefill ? 0 : c.prompt;
  options.decode_tokens = c.decode;
  PARING_TRY(auto runner, detail::BenchRunner::create(view, executor, options));
  return std::unique_ptr<OwnSide>(new OneSequence(view, options, tokens, std::move(runner)));
}

}  // namespace

CaseTokens case_tokens(const SpeedCase& c, std::size_t vocabulary) {
  CaseTokens tokens;
  for (std::size_t i = 0; i < c.sequences; ++i) {
    tokens.prompts.push_back(random_prompt(c.prompt, vocabulary, i));
  }
  tokens.tail = random_prompt(c.decode, vocabulary, c.sequences);
  return tokens;
}

Result<std::unique_ptr<OwnSide>> OwnSide::create(const model::ModelView& view, Executor& executor,
                                                 const BenchOptions& computing, const SpeedCase& c,
                                                 const CaseTokens& tokens) {
  PARING_TRY(std::unique_ptr<OwnSide> side, make(view, executor, computing, c, tokens));
  PARING_TRY_VOID(side->run());
  return side;
}

}  // namespace paring::measure
