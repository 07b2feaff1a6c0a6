// SPDX-License-Identifier: Apache-2.0
// The least time that work can take on a machine whose limits are measured: the larger of the time
// to read its bytes and the time to do its arithmetic (Williams, Waterman, Patterson: "Roofline",
// CACM 2009). A model that fits the last-level cache can beat the memory's side of the limit.
// Pure functions.
#pragma once

#include <cstddef>

#include "cost/probes.h"

namespace paring::cost {

// What one token needs. Weights are read once a step however many tokens the step has.
struct TokenWork {
  double weight_bytes = 0;  // of a step: all matrices, and the embedding row
  double kv_bytes = 0;      // keys and values that this token attends to
  double int8_operations = 0;
  double f32_operations = 0;
  double bf16_operations = 0;
  double operations() const noexcept { return int8_operations + f32_operations + bf16_operations; }
};

// Seconds that reading `bytes` and the operations of `tokens` tokens take at least.
double least_seconds(double bytes, const TokenWork& token, double tokens,
                     const Probes& probes) noexcept;

// Tokens a second that one sequence can reach: every token reads all weights.
double decode_limit(const TokenWork& token, const Probes& probes) noexcept;
// Tokens a second of a prompt of `tokens` tokens computed in steps of `step_tokens`; `token` is the
// average token. REQUIRES: tokens > 0 and step_tokens > 0.
double prefill_limit(const TokenWork& token, std::size_t tokens, std::size_t step_tokens,
                     const Probes& probes) noexcept;

// measured / limit; 0 when there is no limit to compare with.
double limit_share(double measured, double limit) noexcept;

}  // namespace paring::cost
