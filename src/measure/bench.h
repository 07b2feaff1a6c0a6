// SPDX-License-Identifier: Apache-2.0
// Speed of one model on this machine: prefill and decode tokens per second, with the share of the
// machine's limit (cost/roofline.h) that they reach. Medians of repeated runs after a warm-up.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/executor.h"
#include "base/result.h"
#include "cost/probes.h"
#include "cost/roofline.h"
#include "model/forward.h"

namespace paring::measure {

struct BenchOptions {
  std::size_t prefill_tokens = 512;  // prompt computed in one step chain; 0 skips the phase
  std::size_t decode_tokens = 128;   // tokens generated one by one; 0 skips the phase
  std::size_t depth_tokens = 0;      // tokens already in the cache before decode starts
  // Of several sequences: so many tokens of each prompt are the same, and cached before.
  std::size_t shared_tokens = 0;
  std::size_t repetitions = 3;
  // More repetitions at most while fewer than `repetitions` found the machine quiet (kQuietShare).
  std::size_t busy_repetitions = 3;
  model::Numerics numerics = model::Numerics::kServed;
  kernels::KvType kv_type = kernels::KvType::kQ8;
};

struct PhaseSpeed {
  std::size_t tokens = 0;
  double seconds = 0;  // median of the repetitions that found the machine quiet, else of the best
  double tokens_per_second = 0;
  double limit_tokens_per_second = 0;  // what this machine's probes allow
  double limit_share = 0;              // tokens_per_second / limit
  double bytes_per_token = 0;          // weights and cache read from memory
  double operations_per_token = 0;     // 2 a multiply-add
  // Share of that time in which the calling thread ran; below kQuietShare something else took part
  // of the machine and the figure is too low.
  double own_share = 1;
};

// What `tokens` in `seconds` come to beside the limit; `work` is the average token's.
PhaseSpeed phase_speed(std::size_t tokens, double seconds, double limit, double bytes_per_token,
                       const cost::TokenWork& work);

// The same for a prompt of options.prefill_tokens computed in steps of `step_tokens`, and for
// options.decode_tokens single tokens after options.depth_tokens.
PhaseSpeed prefill_speed(const model::ModelView& view, const cost::Probes& probes,
                         const BenchOptions& options, std::size_t step_tokens, double seconds);
PhaseSpeed decode_speed(const model::ModelView& view, const cost::Probes& probes,
                        const BenchOptions& options, double seconds);

// Random tokens, for which the time does not matter; the same for the same stream.
std::vector<std::int32_t> random_prompt(std::size_t tokens, std::size_t vocabulary,
                                        std::uint64_t stream = 0);

struct BenchResult {
  PhaseSpeed prefill;
  PhaseSpeed decode;
  std::size_t weight_bytes = 0;
  std::size_t kv_bytes = 0;      // cache of the run
  std::size_t buffer_bytes = 0;  // step buffers
};

// InvalidArgument for zero repetitions or a request beyond the limits kBenchTokensMax.
Result<BenchResult> bench(const model::ModelView& view, Executor& executor,
                          const cost::Probes& probes, const BenchOptions& options);

inline constexpr std::size_t kBenchTokensMax = std::size_t{1} << 20;

}  // namespace paring::measure
