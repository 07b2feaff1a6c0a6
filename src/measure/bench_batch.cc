// SPDX-License-Identifier: Apache-2.0
#include "measure/bench_batch.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "base/clock.h"
#include "base/process.h"
#include "cost/roofline.h"
#include "engine/batch_engine.h"
#include "measure/statistics.h"
#include "measure/token_work.h"

namespace paring::measure {

namespace {

class Ignore : public engine::SequenceListener {
 public:
  bool on_token(std::size_t, std::int32_t) override { return true; }
  void on_end(std::size_t, const engine::SequenceResult& result) override {
    if (result.end == engine::SequenceEnd::kFailed) error = result.error;
  }
  std::optional<Error> error;
};

struct Round {
  double prefill_seconds = 0;
  std::vector<double> steps;  // seconds of each step that generated a token of every sequence
  double own_share = 1;       // see PhaseSpeed
};

Result<Round> run_round(engine::BatchEngine& engine, const model::BlockSpec& spec,
                        const BenchOptions& options, std::size_t sequences) {
  Ignore listener;
  for (std::size_t i = 0; i < sequences; ++i) {
    PARING_TRY_VOID(
        engine.submit({.id = i,
                       .prompt = random_prompt(options.prefill_tokens, spec.vocabulary, i),
                       .max_tokens = options.decode_tokens},
                      listener));
  }
  Round round;
  const ThreadTimer timer;
  const double start = system_clock().monotonic_seconds();
  double last = start;
  while (engine.step()) {
    const double now = system_clock().monotonic_seconds();
    if (engine.last_step().prefill_tokens > 0) {
      round.prefill_seconds = now - start;
    } else if (engine.last_step().decode_tokens == sequences) {
      round.steps.push_back(now - last);
    }
    last = now;
  }
  if (listener.error) return std::move(*listener.error);
  round.own_share = timer.own_share();
  return round;
}

Result<void> check(const BenchOptions& options, std::size_t sequences) {
  if (options.prefill_tokens == 0 || options.decode_tokens < 2) {
    return invalid_argument("a batch needs a prompt, and at least 2 tokens to generate",
                            "use --prefill 128 --decode 128");
  }
  if (sequences == 0 || sequences > kBenchSequencesMax) {
    return invalid_argument(fmt::format("{} sequences cannot be timed together", sequences),
                            fmt::format("the limits are 1 and {}", kBenchSequencesMax));
  }
  return {};
}

}  // namespace

Result<BatchResult> bench_batch(const model::ModelView& view, Executor& executor,
                                const cost::Probes& probes, const BenchOptions& options,
                                std::size_t sequences) {
  PARING_TRY_VOID(check(options, sequences));
  const std::size_t length = options.prefill_tokens + options.decode_tokens;
  const std::size_t step_tokens = std::max<std::size_t>(512, sequences);
  // Every sequence in pages of its own.
  const std::size_t paged = (length / kernels::kPageTokens + 1) * kernels::kPageTokens;
  PARING_TRY(const auto engine, engine::BatchEngine::create(view.model(), executor,
                                                            {.numerics = options.numerics,
                                                             .kv_type = options.kv_type,
                                                             .context_tokens = length + 1,
                                                             .cache_tokens = paged * sequences,
                                                             .step_tokens = step_tokens,
                                                             .mixed_prompt_tokens = step_tokens,
                                                             .sequences_max = sequences,
                                                             .waiting_max = sequences,
                                                             .has_prefix_cache = false}));
  std::vector<double> prefills;
  std::vector<double> steps;
  std::vector<double> shares;
  for (std::size_t i = 0; i < options.repetitions; ++i) {
    PARING_TRY(const Round round, run_round(*engine, view.spec(), options, sequences));
    prefills.push_back(round.prefill_seconds);
    shares.push_back(round.own_share);
    steps.insert(steps.end(), round.steps.begin(), round.steps.end());
  }
  BatchResult result;
  result.sequences = sequences;
  const auto count = static_cast<double>(sequences);
  const auto prompt = static_cast<double>(options.prefill_tokens);
  const std::vector<MatrixLoad> loads = matrix_loads(view);
  const cost::TokenWork reading =
      token_work(loads, view.spec(), {options.numerics, options.kv_type, {1, prompt}, 1 / prompt});
  result.prefill = phase_speed(
      sequences * options.prefill_tokens, median(prefills),
      cost::prefill_limit(reading, options.prefill_tokens * sequences, step_tokens, probes),
      reading.weight_bytes / static_cast<double>(step_tokens), reading);
  // One step reads the weights once for all, and each sequence's own keys and values.
  cost::TokenWork token =
      token_work(loads, view.spec(),
                 {options.numerics, options.kv_type, {prompt + 1, static_cast<double>(length)}, 1});
  token.weight_bytes /= count;
  result.gap_median_seconds = median(steps);
  result.gap_worst_seconds = steps.empty() ? 0 : *std::max_element(steps.begin(), steps.end());
  result.decode =
      phase_speed(sequences, result.gap_median_seconds, cost::decode_limit(token, probes),
                  token.weight_bytes + token.kv_bytes, token);
  result.prefill.own_share = result.decode.own_share = median(shares);
  return result;
}

}  // namespace paring::measure
