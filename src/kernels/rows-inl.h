// SPDX-License-Identifier: Apache-2.0
// Operations on rows of floats, over the vectors of vec-inl.h: quantization, norm, activation, sums
// over logits. Reductions keep 16 lanes and fold them by a fixed tree, so every ISA gives the same
// bits. Included by the ISA tables alone.
#pragma once

namespace paring::kernels {
namespace {

constexpr std::size_t kLanes = 16;

// Quantizes one group of 32: writes the codes, the sums of their halves and the scale.
PARING_INLINE void quantize_group(const float* x, std::int8_t* codes, float* scale,
                                  std::int32_t* sums) {
  const F32x16 a = load(x);
  const F32x16 b = load(x + kLanes);
  *scale = reduce_max(max(abs(a), abs(b))) / 127.0F;
  const bool is_zero = *scale == 0.0F;
  const F32x16 divisor = broadcast(is_zero ? 1.0F : *scale);
  // The limit matters when a denormal scale has lost its last bits.
  const F32x16 limit = broadcast(is_zero ? 0.0F : 127.0F);
  const F32x16 floor = sub(zero(), limit);
  const I32x16 codes_a = round_i32(max(floor, min(limit, div(a, divisor))));
  const I32x16 codes_b = round_i32(max(floor, min(limit, div(b, divisor))));
  store_s8(codes, codes_a);
  store_s8(codes + kLanes, codes_b);
  sums[0] = reduce_add(codes_a);
  sums[1] = reduce_add(codes_b);
}

inline void quantize_rows(const float* x, std::size_t tokens, std::size_t cols, std::size_t stride,
                          const QuantizedRows& out) noexcept {
  const std::size_t groups = cols / kGroupValues;
  for (std::size_t t = 0; t < tokens; ++t) {
    const float* row = x + t * stride;
    std::int8_t* codes = out.codes + t * cols;
    for (std::size_t g = 0; g < groups; ++g) {
      const std::size_t index = t * groups + g;
      std::int32_t* sums = out.code_sums + 2 * index;
      quantize_group(row + g * kGroupValues, codes + g * kGroupValues, &out.scales[index], sums);
      out.value_sums[index] = out.scales[index] * static_cast<float>(sums[0] + sums[1]);
    }
  }
}

inline void rms_norm(const float* x, const float* weight, float* y, std::size_t width,
                     float epsilon) noexcept {
  F32x16 sum_a = zero();
  F32x16 sum_b = zero();
  std::size_t i = 0;
  for (; i + 2 * kLanes <= width; i += 2 * kLanes) {
    const F32x16 a = load(x + i);
    const F32x16 b = load(x + i + kLanes);
    sum_a = fma(a, a, sum_a);
    sum_b = fma(b, b, sum_b);
  }
  for (; i < width; i += kLanes) {
    const F32x16 a = load_first(x + i, width - i < kLanes ? width - i : kLanes);
    sum_a = fma(a, a, sum_a);
  }
  const double mean =
      static_cast<double>(reduce_add(add(sum_a, sum_b))) / static_cast<double>(width);
  const F32x16 norm = broadcast(static_cast<float>(1.0 / __builtin_sqrt(mean + epsilon)));
  for (i = 0; i + kLanes <= width; i += kLanes) {
    store(y + i, mul(mul(load(x + i), norm), load(weight + i)));
  }
  if (i < width) {
    const std::size_t rest = width - i;
    store_first(y + i, mul(mul(load_first(x + i, rest), norm), load_first(weight + i, rest)), rest);
  }
}

// The sum of term(x[i]) over a row, in 16 lanes that are folded at the end.
template <class Term>
PARING_INLINE double sum_over(const float* x, std::size_t width, const Term& term) {
  F32x16 sum_a = zero();
  F32x16 sum_b = zero();
  std::size_t i = 0;
  for (; i + 2 * kLanes <= width; i += 2 * kLanes) {
    sum_a = add(sum_a, term(load(x + i)));
    sum_b = add(sum_b, term(load(x + i + kLanes)));
  }
  for (; i < width; i += kLanes) {
    const std::size_t rest = width - i < kLanes ? width - i : kLanes;
    sum_a = add(sum_a, select_first(rest, term(load_first(x + i, rest)), zero()));
  }
  return static_cast<double>(reduce_add(add(sum_a, sum_b)));
}

// Two passes: the variance of values that lie far from zero would lose its digits in one.
inline void layer_norm(const float* x, const float* weight, const float* bias, float* y,
                       std::size_t width, float epsilon) noexcept {
  const auto count = static_cast<double>(width);
  const F32x16 mean =
      broadcast(static_cast<float>(sum_over(x, width, [](F32x16 v) { return v; }) / count));
  const double variance = sum_over(x, width,
                                   [&](F32x16 v) {
                                     const F32x16 off = sub(v, mean);
                                     return mul(off, off);
                                   }) /
                          count;
  const F32x16 norm = broadcast(static_cast<float>(1.0 / __builtin_sqrt(variance + epsilon)));
  std::size_t i = 0;
  for (; i + kLanes <= width; i += kLanes) {
    const F32x16 unit = mul(sub(load(x + i), mean), norm);
    store(y + i, fma(unit, load(weight + i), load(bias + i)));
  }
  if (i < width) {
    const std::size_t rest = width - i;
    const F32x16 unit = mul(sub(load_first(x + i, rest), mean), norm);
    store_first(y + i, fma(unit, load_first(weight + i, rest), load_first(bias + i, rest)), rest);
  }
}

inline void add_rows(float* x, const float* y, std::size_t count) noexcept {
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store(x + i, add(load(x + i), load(y + i)));
  if (i < count) {
    const std::size_t rest = count - i;
    store_first(x + i, add(load_first(x + i, rest), load_first(y + i, rest)), rest);
  }
}

PARING_INLINE F32x16 silu(F32x16 v) {
  const F32x16 denominator = add(broadcast(1.0F), exp(sub(zero(), v)));
  return div(v, denominator);
}

inline void silu_mul(const float* gate, const float* up, float* y, std::size_t count) noexcept {
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    store(y + i, mul(silu(load(gate + i)), load(up + i)));
  }
  if (i < count) {
    const std::size_t rest = count - i;
    store_first(y + i, mul(silu(load_first(gate + i, rest)), load_first(up + i, rest)), rest);
  }
}

// v / 2 (1 + tanh(u)) = v / (1 + exp(-2 u)), which needs no tanh and loses nothing where u is
// small.
PARING_INLINE F32x16 gelu(F32x16 v) {
  const F32x16 cubic = mul(mul(v, v), v);
  const F32x16 inner = fma(cubic, broadcast(0.044715F), v);
  const F32x16 twice_u = mul(inner, broadcast(1.5957691216F));  // 2 sqrt(2 / pi)
  return div(v, add(broadcast(1.0F), exp(sub(zero(), twice_u))));
}

inline void gelu_mul(const float* gate, const float* up, float* y, std::size_t count) noexcept {
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    store(y + i, mul(gelu(load(gate + i)), load(up + i)));
  }
  if (i < count) {
    const std::size_t rest = count - i;
    store_first(y + i, mul(gelu(load_first(gate + i, rest)), load_first(up + i, rest)), rest);
  }
}

inline void gelu_tanh(float* x, std::size_t count) noexcept {
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store(x + i, gelu(load(x + i)));
  if (i < count) {
    const std::size_t rest = count - i;
    store_first(x + i, gelu(load_first(x + i, rest)), rest);
  }
}

// v / 2 (1 + erf(v / sqrt(2))) = max(v, 0) - |v| / 2 erfc(|v| / sqrt(2)), which loses nothing where
// erf is near -1. erfc(z) = t exp(-z^2) p(t) with t = 1 / (1 + z / 2); p is the polynomial of
// degree 8 that is nearest to erfc(z) exp(z^2) / t on 0 <= z <= 10 in the largest relative
// error, 4.3e-8.
PARING_INLINE F32x16 gelu_of_erf(F32x16 v) {
  const F32x16 one = broadcast(1.0F);
  // Beyond 20 the tail is 0; an infinity times 0 would be NaN.
  const F32x16 size = min(broadcast(20.0F), abs(v));
  const F32x16 z = mul(size, broadcast(0.70710678F));
  const F32x16 t = div(one, fma(z, broadcast(0.5F), one));
  F32x16 p = broadcast(-0.0590689665F);
  p = fma(p, t, broadcast(0.284574991F));
  p = fma(p, t, broadcast(-0.487199948F));
  p = fma(p, t, broadcast(0.27806721F));
  p = fma(p, t, broadcast(-0.0266256963F));
  p = fma(p, t, broadcast(0.202686881F));
  p = fma(p, t, broadcast(0.243103760F));
  p = fma(p, t, broadcast(0.282375309F));
  p = fma(p, t, broadcast(0.282086418F));
  const F32x16 tail = mul(mul(t, p), exp(mul(sub(zero(), z), z)));
  return fnma(mul(size, broadcast(0.5F)), tail, max(zero(), v));
}

inline void gelu_erf(float* x, std::size_t count) noexcept {
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store(x + i, gelu_of_erf(load(x + i)));
  if (i < count) {
    const std::size_t rest = count - i;
    store_first(x + i, gelu_of_erf(load_first(x + i, rest)), rest);
  }
}

// cap tanh(v / cap) with tanh(z) = 1 - 2 / (exp(2 z) + 1): an absolute error of about 1e-7 cap.
PARING_INLINE F32x16 capped(F32x16 v, F32x16 cap) {
  const F32x16 one = broadcast(1.0F);
  const F32x16 z = div(v, cap);
  const F32x16 part = div(broadcast(2.0F), add(exp(add(z, z)), one));
  return mul(cap, sub(one, part));
}

inline void soft_cap(float* x, std::size_t count, float cap) noexcept {
  const F32x16 limit = broadcast(cap);
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store(x + i, capped(load(x + i), limit));
  if (i < count) {
    const std::size_t rest = count - i;
    store_first(x + i, capped(load_first(x + i, rest), limit), rest);
  }
}

inline double log_sum_exp(const float* x, std::size_t count) noexcept {
  const F32x16 lowest = broadcast(-__builtin_inff());
  F32x16 largest_lanes = lowest;
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) largest_lanes = max(largest_lanes, load(x + i));
  const std::size_t rest = count - i;
  const F32x16 tail = select_first(rest, load_first(x + i, rest), lowest);
  const double largest = static_cast<double>(reduce_max(max(largest_lanes, tail)));
  if (largest == -__builtin_inf()) return largest;
  const F64x16 shift = broadcast(largest);
  F64x16 sum = zero_f64();
  for (i = 0; i + kLanes <= count; i += kLanes) {
    sum = add(sum, exp(sub(to_f64(load(x + i)), shift)));
  }
  // Lanes past the end hold -inf, whose exp() is 3e-308: below the last bit of the sum, which has a
  // term of 1.
  if (rest != 0) sum = add(sum, exp(sub(to_f64(tail), shift)));
  return largest + __builtin_log(reduce_add(sum));
}

inline double kl_divergence(const float* p, double p_lse, const float* q, double q_lse,
                            std::size_t count) noexcept {
  const F64x16 p_shift = broadcast(p_lse);
  const F64x16 q_shift = broadcast(q_lse);
  F64x16 sum = zero_f64();
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const F64x16 log_p = sub(to_f64(load(p + i)), p_shift);
    const F64x16 log_q = sub(to_f64(load(q + i)), q_shift);
    sum = fma(exp(log_p), sub(log_p, log_q), sum);
  }
  double total = reduce_add(sum);
  for (; i < count; ++i) {
    const double log_p = static_cast<double>(p[i]) - p_lse;
    const double log_q = static_cast<double>(q[i]) - q_lse;
    total += __builtin_exp(log_p) * (log_p - log_q);
  }
  return total;
}

}  // namespace
}  // namespace paring::kernels
