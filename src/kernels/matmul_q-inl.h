// SPDX-License-Identifier: Apache-2.0
// matmul_q: the order of work that all levels share. Panels in passes that stay in L2, tokens in
// tiles, groups of k in passes whose activations stay in L1; a level's matmul_q_tile-inl.h brings
// the inner loop, tile_panel(). Included by the ISA tables alone.
#pragma once

namespace paring::kernels {
namespace {

// Groups of a pass: bounds the factors on the stack and keeps a tile's activations in L1. Sums wait
// in y between passes, so the order of additions is the one of ops.h.
constexpr std::size_t kPassGroups = 64;

// What a tile of tokens contributes to a group, token by token, gathered once for many panels.
struct GroupFactors {
  float scales[kQuantizedTileTokens];
  float value_sums[kQuantizedTileTokens];
  std::int32_t starts[kQuantizedTileTokens];  // -zero * (sum of the activation codes)
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

// kTokens tokens x one panel x the job's groups; continues the sums in y unless first_group is 0.
template <class Type, int kTokens>
void tile_panel(const TileJob& job, const PackedMatrix& w, std::size_t panel_index);

// Zero point of the codes as the level multiplies them.
template <class Type>
constexpr int zero_point() {
  return Type::kGroupBytes == 512 ? kQ8ZeroPoint : Type::kZero;
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
      factors[i].starts[r] = -zero_point<Type>() * x.code_sums[base + i];
    }
  }
}

template <class Type>
inline void matmul_q_type(const PackedMatrix& w, const QuantizedRows& x, std::size_t tokens,
                          float* y, std::size_t stride, PanelRange panels) {
  const std::size_t row_groups = w.cols / kGroupValues;
  const std::size_t panel_bytes = row_groups * Type::kGroupBytes;
  std::size_t pass_panels = kQuantizedPassBytes / panel_bytes;
  if (pass_panels == 0) pass_panels = 1;
  if (tokens <= kQuantizedTileTokens) pass_panels = panels.end - panels.begin;
  GroupFactors factors[kPassGroups];
  for (std::size_t begin = panels.begin; begin < panels.end; begin += pass_panels) {
    const std::size_t end = begin + pass_panels < panels.end ? begin + pass_panels : panels.end;
    for (std::size_t t = 0; t < tokens;) {
      const std::size_t rows = next_tile(tokens - t, kQuantizedTileTokens);
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
        with_count<kQuantizedTileTokens>(rows, [&]<int kTokens>() {
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
