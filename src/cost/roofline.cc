// SPDX-License-Identifier: Apache-2.0
#include "cost/roofline.h"

#include <algorithm>

#include "base/check.h"

namespace paring::cost {
namespace {

double time_of(double amount, double rate) noexcept { return amount > 0 ? amount / rate : 0; }

}  // namespace

double least_seconds(double bytes, const TokenWork& token, double tokens,
                     const Probes& probes) noexcept {
  // All kinds of arithmetic use the same ports, so their times add; reading overlaps with them.
  const double arithmetic = time_of(token.int8_operations, probes.int8_operations_per_second) +
                            time_of(token.f32_operations, probes.f32_operations_per_second) +
                            time_of(token.bf16_operations, probes.bf16_operations_per_second);
  return std::max(time_of(bytes, probes.read_bytes_per_second), tokens * arithmetic);
}

double decode_limit(const TokenWork& token, const Probes& probes) noexcept {
  const double seconds = least_seconds(token.weight_bytes + token.kv_bytes, token, 1, probes);
  return seconds > 0 ? 1.0 / seconds : 0;
}

double prefill_limit(const TokenWork& token, std::size_t tokens, std::size_t step_tokens,
                     const Probes& probes) noexcept {
  PARING_DCHECK(tokens > 0 && step_tokens > 0, "a prompt has tokens");
  const auto count = static_cast<double>(tokens);
  const auto steps = static_cast<double>((tokens + step_tokens - 1) / step_tokens);
  // The tokens of a step share one reading of the weights and of the cached keys and values.
  const double bytes = steps * (token.weight_bytes + token.kv_bytes);
  const double seconds = least_seconds(bytes, token, count, probes);
  return seconds > 0 ? count / seconds : 0;
}

double limit_share(double measured, double limit) noexcept {
  return limit > 0 ? measured / limit : 0;
}

}  // namespace paring::cost
