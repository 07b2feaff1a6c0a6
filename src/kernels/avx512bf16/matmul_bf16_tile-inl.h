// SPDX-License-Identifier: Apache-2.0
// The products of matmul_bf16 with vdpbf16ps: each output is one sum, to which pairs of columns are
// added in ascending order, of a pair the second column first. Included by table.cc alone.
#pragma once

namespace paring::kernels {
namespace {

PARING_INLINE __m512bh broadcast_two(const std::uint16_t* p) {
  std::int32_t both;
  __builtin_memcpy(&both, p, sizeof(both));
  return (__m512bh)_mm512_set1_epi32(both);
}

// kTokens tokens from t on x kPanels panels from `panel` on.
template <int kTokens, int kPanels>
PARING_NOINLINE void bf16_tile(const Bf16Job& job, const Bf16Panels& weights, const Bf16Block& x,
                               std::size_t t, std::size_t panel) {
  const Bf16Group* groups = weights.groups + (panel - job.panels.begin) * job.groups;
  float* y = job.y + t * job.y_stride + panel * kPanelRows;
  std::size_t rows[kPanels];
  for (int p = 0; p < kPanels; ++p) rows[p] = job.rows(panel + p);
  F32x16 sums[kTokens][kPanels];
#pragma GCC unroll 16
  for (int r = 0; r < kTokens; ++r) {
#pragma GCC unroll 2
    for (int p = 0; p < kPanels; ++p) {
      const float* from = y + static_cast<std::size_t>(r) * job.y_stride + p * 16;
      sums[r][p] = job.is_first ? zero() : load_first(from, rows[p]);
    }
  }
  for (std::size_t g = 0; g < job.groups; ++g) {
    for (std::size_t j = 0; j < kBf16GroupCols / 2; ++j) {
      __m512bh pair[kPanels];
#pragma GCC unroll 2
      for (int p = 0; p < kPanels; ++p) {
        pair[p] = (__m512bh)_mm512_load_si512(groups[p * job.groups + g].values[j]);
      }
#pragma GCC unroll 16
      for (int r = 0; r < kTokens; ++r) {
        const __m512bh two = broadcast_two(x.values[t + r] + g * kBf16GroupCols + 2 * j);
#pragma GCC unroll 2
        for (int p = 0; p < kPanels; ++p) {
          sums[r][p].v = _mm512_dpbf16_ps(sums[r][p].v, pair[p], two);
        }
      }
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < kTokens; ++r) {
#pragma GCC unroll 2
    for (int p = 0; p < kPanels; ++p) {
      store_first(y + static_cast<std::size_t>(r) * job.y_stride + p * 16, sums[r][p], rows[p]);
    }
  }
}

// Two panels stay in L1 while the tokens go over them.
inline void multiply_block(const Bf16Job& job, const Bf16Panels& weights, const Bf16Block& x) {
  const auto multiply = [&]<int kPanels>(std::size_t panel) {
    for (std::size_t t = 0; t < job.tokens;) {
      const std::size_t rows = next_tile(job.tokens - t, kBf16TileTokens);
      with_count<kBf16TileTokens>(
          rows, [&]<int kTokens>() { bf16_tile<kTokens, kPanels>(job, weights, x, t, panel); });
      t += rows;
    }
  };
  std::size_t p = job.panels.begin;
  for (; p + kBf16TilePanels <= job.panels.end; p += kBf16TilePanels) {
    multiply.template operator()<kBf16TilePanels>(p);
  }
  if (p < job.panels.end) multiply.template operator()<1>(p);
}

}  // namespace
}  // namespace paring::kernels
