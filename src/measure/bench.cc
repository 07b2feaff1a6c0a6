// SPDX-License-Identifier: Apache-2.0
#include "measure/bench.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <vector>

#include "base/process.h"
#include "base/random.h"
#include "cost/roofline.h"
#include "engine/token_work.h"
#include "measure/detail/bench_runner.h"
#include "measure/memory.h"
#include "measure/statistics.h"

namespace paring::measure {

namespace {

using detail::BenchRunner;
using detail::kWarmUpSteps;
using detail::Timing;
using model::ModelView;

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

cost::TokenWork phase_work(const ModelView& view, const BenchOptions& options,
                           const model::PositionRange& range, double head_share,
                           double step_tokens) {
  return engine::token_work(engine::matrix_loads(view), view.spec(),
                            {options.numerics, options.kv_type, range, head_share, step_tokens});
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

PhaseSpeed prefill_speed(const ModelView& view, const cost::Probes& probes,
                         const BenchOptions& options, std::size_t step_tokens, double seconds) {
  const auto tokens = static_cast<double>(options.prefill_tokens);
  const cost::TokenWork work = phase_work(view, options, {1, tokens}, 1 / tokens,
                                          std::min(tokens, static_cast<double>(step_tokens)));
  const std::size_t steps = (options.prefill_tokens + step_tokens - 1) / step_tokens;
  const double bytes = static_cast<double>(steps) * (work.weight_bytes + work.kv_bytes) / tokens;
  return phase_speed(options.prefill_tokens, seconds,
                     cost::prefill_limit(work, options.prefill_tokens, step_tokens, probes), bytes,
                     work);
}

PhaseSpeed decode_speed(const ModelView& view, const cost::Probes& probes,
                        const BenchOptions& options, double seconds) {
  const auto depth = static_cast<double>(options.depth_tokens);
  const auto steps = static_cast<double>(options.decode_tokens);
  const cost::TokenWork work = phase_work(view, options, {depth + 1, depth + steps}, 1, 1);
  return phase_speed(options.decode_tokens, seconds, cost::decode_limit(work, probes),
                     work.weight_bytes + work.kv_bytes, work);
}

PhaseSpeed phase_speed(std::size_t tokens, double seconds, double limit, double bytes_per_token,
                       const cost::TokenWork& work) {
  PhaseSpeed speed;
  speed.tokens = tokens;
  speed.seconds = seconds;
  speed.tokens_per_second = seconds > 0 ? static_cast<double>(tokens) / seconds : 0;
  speed.limit_tokens_per_second = limit;
  speed.limit_share = cost::limit_share(speed.tokens_per_second, limit);
  speed.bytes_per_token = bytes_per_token;
  speed.operations_per_token = work.operations();
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
  PARING_TRY(const std::unique_ptr<BenchRunner> runner,
             BenchRunner::create(view, executor, options));
  const std::vector<std::int32_t> ids =
      random_prompt(std::max(options.prefill_tokens, options.depth_tokens), view.spec().vocabulary);
  const std::span<const std::int32_t> prompt = std::span(ids).first(options.prefill_tokens);
  const std::span<const std::int32_t> depth = std::span(ids).first(options.depth_tokens);
  // The warm-up is a whole prefill, which also touches the pages of the cache for the first time.
  if (options.prefill_tokens > 0) {
    PARING_TRY([[maybe_unused]] const Timing warm_up, runner->prefill(prompt));
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
      PARING_TRY(const Timing run, runner->prefill(prompt));
      prefills.push_back(run);
    }
    if (options.decode_tokens > 0) {
      PARING_TRY([[maybe_unused]] const Timing warm_up, runner->decode(depth, kWarmUpSteps));
      PARING_TRY(const Timing run, runner->decode(depth, options.decode_tokens));
      decodes.push_back(run);
    }
  }
  BenchResult result;
  if (options.prefill_tokens > 0) {
    const Timing run = settle(prefills);
    result.prefill = prefill_speed(view, probes, options, runner->step_tokens(), run.seconds);
    result.prefill.own_share = run.own_share;
  }
  if (options.decode_tokens > 0) {
    const Timing run = settle(decodes);
    result.decode = decode_speed(view, probes, options, run.seconds);
    result.decode.own_share = run.own_share;
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
