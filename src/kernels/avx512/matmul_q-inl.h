// SPDX-License-Identifier: Apache-2.0
// matmul_q on AVX-512 VNNI. A group of a panel is 8 vectors of 16 rows x 4 k; they are unpacked
// once for a tile of tokens, and each token adds 8 vpdpbusd whose activation operand is a 4-byte
// broadcast from memory. vpdpbusd multiplies unsigned by signed bytes: codes are made unsigned, and
// the integer sum starts at -zero * (sum of the activation codes), which is exact. Largest sum:
// 32 * 255 * 127 < 2^21. Included by table.cc alone.
#pragma once

namespace paring::kernels {
namespace {

// Tokens of a tile: 12 sums and 8 weight vectors leave registers for what is in flight.
constexpr std::size_t kTileTokens = 12;
// Groups of a pass: bounds the factors on the stack and keeps a tile's activations in L1.
constexpr std::size_t kPassGroups = 64;
// Weights that a pass keeps in L2 while it goes through all tokens.
constexpr std::size_t kPassBytes = 256 * 1024;

// What a tile of tokens contributes to a group, token by token, gathered once for many panels.
struct GroupFactors {
  float scales[kTileTokens];
  float value_sums[kTileTokens];
  std::int32_t starts[kTileTokens];
};

struct TileJob {
  const std::int8_t* codes;  // of the first token, first group
  std::size_t codes_stride;
  const GroupFactors* factors;
  std::size_t first_group;
  std::size_t groups;
  float* y;  // of the first token, row 0 of the matrix
  std::size_t y_stride;
};

// Zero point of the unsigned codes.
template <class Type>
constexpr int unsigned_zero() {
  return Type::kGroupBytes == 512 ? 128 : Type::kZero;
}

template <class Type>
PARING_INLINE void load_unsigned_group(const PanelPlanes& panel, std::size_t g, Quad (&quads)[8]) {
  load_group<Type>(panel, g, quads);
  if constexpr (Type::kGroupBytes == 512) {
    const __m512i flip = _mm512_set1_epi8(static_cast<char>(0x80));
#pragma GCC unroll 8
    for (int j = 0; j < 8; ++j) quads[j].v = _mm512_xor_si512(quads[j].v, flip);
  }
}

PARING_INLINE __m512i broadcast_4_bytes(const std::int8_t* p) {
  std::int32_t bytes;
  __builtin_memcpy(&bytes, p, sizeof(bytes));
  return _mm512_set1_epi32(bytes);
}

// With few tokens the weights come from memory: asks for the lines of the group that lies
// kAheadBytes further, which crosses into the next panels as the loop will.
template <class Type, int kTokens>
PARING_INLINE void prefetch_group(const PanelPlanes& panel, std::size_t g) {
  if constexpr (kTokens <= 8) {
    constexpr std::size_t kAheadGroups = kAheadBytes / Type::kGroupBytes;
    const std::uint8_t* codes = panel.codes + (g + kAheadGroups) * Type::kGroupBytes;
#pragma GCC unroll 8
    for (std::size_t i = 0; i < Type::kGroupBytes; i += 64) _mm_prefetch(codes + i, _MM_HINT_T0);
    if constexpr (Type::kHasHigh) _mm_prefetch(panel.high + (g + kAheadGroups) * 8, _MM_HINT_T0);
    _mm_prefetch(panel.scales + (g + kAheadGroups) * kPanelRows, _MM_HINT_T0);
    if constexpr (Type::kHasMins) {
      _mm_prefetch(panel.mins + (g + kAheadGroups) * kPanelRows, _MM_HINT_T0);
    }
  }
}

template <class Type, int kTokens>
inline void tile_panel(const TileJob& job, const PackedMatrix& w, std::size_t panel_index) {
  const PanelPlanes panel = panel_planes(w, panel_index);
  const std::size_t first_row = panel_index * kPanelRows;
  const std::size_t rows_left = w.rows - first_row;
  const std::size_t rows = rows_left < kPanelRows ? rows_left : kPanelRows;
  F32x16 sums[kTokens];
#pragma GCC unroll 16
  for (int t = 0; t < kTokens; ++t) {
    const float* y = job.y + static_cast<std::size_t>(t) * job.y_stride + first_row;
    sums[t] = job.first_group == 0 ? zero() : load_first(y, rows);
  }
  for (std::size_t i = 0; i < job.groups; ++i) {
    const std::size_t g = job.first_group + i;
    Quad quads[8];
    load_unsigned_group<Type>(panel, g, quads);
    prefetch_group<Type, kTokens>(panel, g);
    const F32x16 scale = load_f16(panel.scales + g * kPanelRows);
    F32x16 min = zero();
    if constexpr (Type::kHasMins) min = load_f16(panel.mins + g * kPanelRows);
    const GroupFactors& factors = job.factors[i];
#pragma GCC unroll 16
    for (int t = 0; t < kTokens; ++t) {
      const std::int8_t* codes =
          job.codes + static_cast<std::size_t>(t) * job.codes_stride + i * kGroupValues;
      __m512i products = _mm512_setzero_si512();
      if constexpr (unsigned_zero<Type>() != 0) products = _mm512_set1_epi32(factors.starts[t]);
#pragma GCC unroll 8
      for (int j = 0; j < 8; ++j) {
        products = _mm512_dpbusd_epi32(products, quads[j].v, broadcast_4_bytes(codes + 4 * j));
      }
      sums[t] = fma(mul(broadcast(factors.scales[t]), scale), to_f32(I32x16{products}), sums[t]);
      if constexpr (Type::kHasMins) sums[t] = fma(min, broadcast(factors.value_sums[t]), sums[t]);
    }
  }
#pragma GCC unroll 16
  for (int t = 0; t < kTokens; ++t) {
    float* y = job.y + static_cast<std::size_t>(t) * job.y_stride + first_row;
    store_first(y, sums[t], rows);
  }
}

template <class Type>
PARING_INLINE void gather_factors(const QuantizedRows& x, std::size_t t, std::size_t tokens,
                                  std::size_t first_group, std::size_t groups,
                                  GroupFactors* factors) {
  const std::size_t row_groups = x.cols / kGroupValues;
  for (std::size_t r = 0; r < tokens; ++r) {
    const std::size_t base = (t + r) * row_groups + first_group;
    for (std::size_t i = 0; i < groups; ++i) {
      factors[i].scales[r] = x.scales[base + i];
      factors[i].value_sums[r] = x.value_sums[base + i];
      factors[i].starts[r] = -unsigned_zero<Type>() * x.code_sums[base + i];
    }
  }
}

template <class Type>
inline void matmul_q_type(const PackedMatrix& w, const QuantizedRows& x, std::size_t tokens,
                          float* y, std::size_t stride, PanelRange panels) {
  const std::size_t row_groups = w.cols / kGroupValues;
  const std::size_t panel_bytes = row_groups * Type::kGroupBytes;
  std::size_t pass_panels = kPassBytes / panel_bytes;
  if (pass_panels == 0) pass_panels = 1;
  if (tokens <= kTileTokens) pass_panels = panels.end - panels.begin;
  GroupFactors factors[kPassGroups];
  for (std::size_t begin = panels.begin; begin < panels.end; begin += pass_panels) {
    const std::size_t end = begin + pass_panels < panels.end ? begin + pass_panels : panels.end;
    for (std::size_t t = 0; t < tokens;) {
      const std::size_t rows = next_tile(tokens - t, kTileTokens);
      for (std::size_t first = 0; first < row_groups; first += kPassGroups) {
        const std::size_t left = row_groups - first;
        const std::size_t groups = left < kPassGroups ? left : kPassGroups;
        gather_factors<Type>(x, t, rows, first, groups, factors);
        const TileJob job{x.codes + t * x.cols + first * kGroupValues,
                          x.cols,
                          factors,
                          first,
                          groups,
                          y + t * stride,
                          stride};
        with_count<kTileTokens>(rows, [&]<int kTokens>() {
          for (std::size_t p = begin; p < end; ++p) tile_panel<Type, kTokens>(job, w, p);
        });
      }
      t += rows;
    }
  }
}

inline void matmul_q(const PackedMatrix& w, const QuantizedRows& x, std::size_t tokens, float* y,
                     std::size_t stride, PanelRange panels) noexcept {
  if (w.type == DType::kQ8_0) return matmul_q_type<Q8_0>(w, x, tokens, y, stride, panels);
  if (w.type == DType::kQ4_0) return matmul_q_type<Q4_0>(w, x, tokens, y, stride, panels);
  if (w.type == DType::kQ4_1) return matmul_q_type<Q4_1>(w, x, tokens, y, stride, panels);
  if (w.type == DType::kQ5_0) return matmul_q_type<Q5_0>(w, x, tokens, y, stride, panels);
  if (w.type == DType::kQ5_1) return matmul_q_type<Q5_1>(w, x, tokens, y, stride, panels);
}

}  // namespace
}  // namespace paring::kernels
