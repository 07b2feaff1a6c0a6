// SPDX-License-Identifier: Apache-2.0
// The operations every instruction set implements, as one table of function pointers. Contract of
// every entry: allocates nothing, starts no threads, keeps no state, throws nothing, reads and
// writes only what it is given; works on a range of panels, rows or heads so that callers divide
// work; preconditions are the caller's. Matrices are row-major; T is a number of tokens (rows of
// activations), D a width.
//
// Batch invariance: the result for a token and an output depends only on that token's input and the
// weights, never on T, the panel range or the tiling. So every dot product has one summation order,
// the same in GEMV, small-T and GEMM code and the same on every ISA:
//   float types  acc = 0; for k ascending: acc = fma(w[k], x[k], acc)
//   block types  acc = 0; for group g of 32 columns ascending:
//                  i   = sum over the group of (code - zero) * x_code        (exact, int32)
//                  acc = fma(x_scale[g] * w_scale[g], float(i), acc)
//                  with mins:  acc = fma(w_min[g], x_sum[g], acc)
//                x_sum = x_scale * float(sum of the x_codes); codes of a codebook are its values.
//   Q2_K, Q3_K, Q6_K, whose weights have a scale per 16 columns: halves a and b of a group,
//                i_a, i_b and s_a, s_b (sums of the x_codes) exact,
//                  t   = w_scale[a] * float(i_a);  t = fma(w_scale[b], float(i_b), t)
//                  with mins:  t = fma(w_min[a], float(s_a), t);  t = fma(w_min[b], float(s_b), t)
//                  acc = fma(x_scale[g], t, acc)
//   With sub-scales w_scale = float(scale) * float(sub), w_min = 0 - float(min) * float(sub_min),
//   both exact in f32.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "kernels/packed_matrix.h"

namespace paring::kernels {

// Activations of T tokens in int8, groups of 32 columns.
//   codes [T][cols] s8, scales [T][cols/32] f32, code_sums [T][cols/16] i32 (sums of 16 codes, the
//   halves of a group), value_sums [T][cols/32] f32 = scale * float(sum of a group's codes).
struct QuantizedRows {
  std::int8_t* codes;
  float* scales;
  std::int32_t* code_sums;
  float* value_sums;
  std::size_t cols;
  // Memory for `tokens` rows, and the planes placed in it (64-byte aligned).
  static std::size_t bytes(std::size_t tokens, std::size_t cols) noexcept;
  static QuantizedRows place(std::byte* memory, std::size_t tokens, std::size_t cols) noexcept;
  // The rows from `row` on.
  QuantizedRows from_row(std::size_t row) const noexcept;
};

// Attention over one sequence's cached keys and values for the query heads of one KV head.
// Pages hold kPageTokens tokens; position t lies in page t / kPageTokens at slot t % kPageTokens.
inline constexpr std::size_t kPageTokens = 32;

inline constexpr std::size_t kCacheGroupValues = 16;  // values of a token that share a scale

enum class KvType : std::uint8_t { kF32, kF16, kBF16, kQ8, kQ4 };
inline constexpr KvType kKvTypes[] = {KvType::kF32, KvType::kF16, KvType::kBF16, KvType::kQ8,
                                      KvType::kQ4};
const char* kv_type_name(KvType type) noexcept;                      // "f32", "f16", ...
std::optional<KvType> find_kv_type(std::string_view name) noexcept;  // nullopt: no such type
// Whether codes are kept, so that KeyBalance (model/key_balance.h) pays.
constexpr bool is_integer(KvType type) noexcept {
  return type == KvType::kQ8 || type == KvType::kQ4;
}

// Page layout for one (layer, KV head), head width D. Keys lie with the tokens side by side, so
// that a score is a column sum and needs no transposition, neither for one query nor for hundreds:
//   kF32  keys f32 [D][32], values f32 [32][D]
//   kF16, kBF16  keys u16 [D][32], values u16 [32][D]
//   kQ8   keys s8 [D/2][32][2], values s8 [16][D][2], key_scales and value_scales bf16 [D/16][32].
//   A scale is max|x|/127 of a token's group of 16, rounded up to bf16; code = round(x/scale) to
//   nearest even; all-zero group: scale 0. Twice as many bf16 scales lose less than f32 ones. Two
//   neighbours of a sum lie side by side (of keys two dimensions, of values two tokens), because
//   pairs of int16 products are what the instructions add.
//   kQ4  keys as kQ8 (4 bits of them would cost 10 to 100 times what values cost, ADR 22); values
//   u8 [32][D/2], whose scale is the larger of max(x)/7 and -min(x)/8, rounded up to bf16; a nibble
//   is code + 8, the low ones hold the first D/2 dimensions: no two tokens share a byte.
// Planes follow each other in this order in one block of kv_page_bytes(), 64-byte aligned. Slots
// that were never written may hold anything. Only kv_write and attention know this layout.
std::size_t kv_page_bytes(KvType type, std::size_t head_width) noexcept;

struct KvWriteArgs {
  KvType type;
  std::size_t head_width;  // D, a multiple of 32
  std::byte* page;         // page of this (layer, head)
  std::size_t slot;        // 0..kPageTokens-1
  const float* key;        // [D], rope applied
  const float* value;      // [D]
};

struct AttentionArgs {
  KvType type;
  std::size_t head_width;  // D
  std::size_t queries;     // rows of q that attend, all query heads of the group together
  const float* const* q;   // [queries] pointers to D floats, rope applied
  float* const* out;       // [queries] pointers to D floats
  // [queries] end of what row i sees: positions [max(0, visible - window), visible).
  const std::size_t* visible;
  std::size_t window;  // 0: all positions before `visible`
  // Pages of this (layer, KV head) from page `first_page` on, enough for max(visible); no row sees
  // a position of an earlier page.
  const std::byte* const* pages;
  std::size_t first_page;
  float scale;         // of a dot product, mostly 1/sqrt(D)
  float soft_cap;      // c > 0: scaled dot products s become c tanh(s / c); 0: they stay
  std::byte* scratch;  // attention_scratch_bytes(queries, D), 64-byte aligned
  // Not null: only the positions of span `span` are attended, and parts[i] gets the state of row i
  // (attention_part_floats(D) floats, opaque) in the place of out[i]; attention_join makes the
  // outputs. Bit for bit what one call without parts gives.
  float* const* parts = nullptr;
  std::size_t span = 0;
};

// Positions [s * kSpanTokens, (s + 1) * kSpanTokens) are a span. The softmax of a row goes span by
// span, whoever computes which: long sequences can be divided among threads.
inline constexpr std::size_t kSpanTokens = 512;

// The spans that a row with a given end and window sees.
struct SpanRange {
  std::size_t begin;
  std::size_t end;
};
constexpr SpanRange spans_seen(std::size_t visible, std::size_t window) noexcept {
  const std::size_t first = window != 0 && visible > window ? visible - window : 0;
  return {first / kSpanTokens, (visible + kSpanTokens - 1) / kSpanTokens};
}

constexpr std::size_t attention_part_floats(std::size_t head_width) noexcept {
  return head_width + 16;
}

struct AttentionJoinArgs {
  std::size_t head_width;
  const float* parts;  // of consecutive spans of one row, `stride` floats apart
  std::size_t stride;
  std::size_t count;
  float* out;  // [D]
};

// Numbers of tokens, by the kind of weights.
struct Bf16Tokens {
  static constexpr std::size_t kNever = static_cast<std::size_t>(-1);
  std::size_t float_types = kNever;  // F32, F16, BF16
  std::size_t block_types = kNever;
};

struct KernelTable {
  const char* isa = nullptr;

  // Groups of 32: scale = max|x|/127, code = round(x/scale) to nearest even; all-zero group: scale
  // 0.
  void (*quantize_rows)(const float* x, std::size_t tokens, std::size_t cols, std::size_t stride,
                        const QuantizedRows& out) noexcept = nullptr;

  // y[t*stride + n] = sum_k W[n][k] x[t][k] for the rows n of panels [begin, end) that exist.
  // Block types, int8 activations.
  void (*matmul_q)(const PackedMatrix& w, const QuantizedRows& x, std::size_t tokens, float* y,
                   std::size_t stride, PanelRange panels) noexcept = nullptr;
  // Any type, decoded to f32 exactly; f32 activations x [tokens][x_stride].
  void (*matmul_f)(const PackedMatrix& w, const float* x, std::size_t x_stride, std::size_t tokens,
                   float* y, std::size_t stride, PanelRange panels) noexcept = nullptr;
  // As matmul_f with weights and activations rounded to bf16 (to nearest even; denormals are zero):
  // products exact, sums in f32 in an order of the level's own, which may depend on nothing but the
  // columns. Null: the level has none. REQUIRES: check_fast() of this table.
  void (*matmul_bf16)(const PackedMatrix& w, const float* x, std::size_t x_stride,
                      std::size_t tokens, float* y, std::size_t stride,
                      PanelRange panels) noexcept = nullptr;
  // From so many tokens on it is faster than what served numerics take.
  Bf16Tokens bf16_from{};

  // y[i] = x[i] / sqrt(mean(x^2) + epsilon) * weight[i], one row of `width`.
  void (*rms_norm)(const float* x, const float* weight, float* y, std::size_t width,
                   float epsilon) noexcept = nullptr;
  // y[i] = (x[i] - m) / sqrt(mean((x - m)^2) + epsilon) * weight[i] + bias[i] with m = mean(x)
  // (arXiv:1607.06450), one row of `width`; y may be x.
  void (*layer_norm)(const float* x, const float* weight, const float* bias, float* y,
                     std::size_t width, float epsilon) noexcept = nullptr;
  // x[i] += y[i].
  void (*add)(float* x, const float* y, std::size_t count) noexcept = nullptr;
  // y[i] = silu(gate[i]) * up[i], silu(v) = v / (1 + exp(-v)).
  void (*silu_mul)(const float* gate, const float* up, float* y,
                   std::size_t count) noexcept = nullptr;
  // y[i] = gelu(gate[i]) * up[i] with gelu's tanh approximation (arXiv:1606.08415, sec. 2):
  // gelu(v) = v / 2 (1 + tanh(sqrt(2 / pi) (v + 0.044715 v^3))).
  void (*gelu_mul)(const float* gate, const float* up, float* y,
                   std::size_t count) noexcept = nullptr;
  // x[i] = x[i] / 2 (1 + erf(x[i] / sqrt(2))) (arXiv:1606.08415), to within 3e-7 |x[i]|.
  void (*gelu_erf)(float* x, std::size_t count) noexcept = nullptr;
  // The same with the tanh approximation, as gelu_mul.
  void (*gelu_tanh)(float* x, std::size_t count) noexcept = nullptr;
  // x[i] = cap * tanh(x[i] / cap), to within 2e-7 * cap. REQUIRES: cap > 0.
  void (*soft_cap)(float* x, std::size_t count, float cap) noexcept = nullptr;

  void (*kv_write)(const KvWriteArgs& args) noexcept = nullptr;
  // Online softmax (arXiv:2205.14135, algorithm 1) within a span, whose results are joined in the
  // order of the spans; a row's result does not depend on the other rows. kF32 and kF16 compute in
  // f32. kQ8 multiplies integers: queries are rounded to 16 bits of the largest of each group of
  // 16, probabilities (and their products with the values' scales) to 15 bits of the largest of 64
  // positions, a hundredth of the rounding of keys and values.
  void (*attention)(const AttentionArgs& args) noexcept = nullptr;
  void (*attention_join)(const AttentionJoinArgs& args) noexcept = nullptr;

  // log(sum_i exp(x[i])) with the maximum taken out and the sum in double.
  double (*log_sum_exp)(const float* x, std::size_t count) noexcept = nullptr;
  // sum_i exp(p[i] - p_lse) * ((p[i] - p_lse) - (q[i] - q_lse)) in double.
  double (*kl_divergence)(const float* p, double p_lse, const float* q, double q_lse,
                          std::size_t count) noexcept = nullptr;
};

std::size_t attention_scratch_bytes(std::size_t queries, std::size_t head_width) noexcept;

// An instruction-set level.
struct IsaLevel {
  const char* name;
  // What this machine lacks for it ("the CPU has no AVX2 or no FMA"); null: nothing.
  const char* (*missing)() noexcept;
  const KernelTable* table;
  // The same for its matmul_bf16, beside what the level needs anyway.
  const char* (*missing_for_bf16)() noexcept;
  bool supported() const noexcept { return missing() == nullptr; }
};
// From fastest to "reference".
std::span<const IsaLevel> isa_levels() noexcept;

// The table in use: the fastest supported, or PARING_ISA's. Chosen once, at first call. An unknown
// or unsupported PARING_ISA is reported by select_isa(); kernels() itself then uses "reference".
const KernelTable& kernels() noexcept;
// Forces a level for the process (tests, --isa); null or "" means PARING_ISA, or the fastest when
// that is not set. NotFound / Unsupported with the choices; the level in use then stays.
Result<void> select_isa(const char* name);
// Whether fast numerics (model/forward.h) can be computed with the table in use: Unsupported tells
// what this machine lacks.
Result<void> check_fast();
// The table of a level by name, null when unknown or unsupported here.
const KernelTable* find_kernels(const char* isa) noexcept;

}  // namespace paring::kernels
