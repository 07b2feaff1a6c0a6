// SPDX-License-Identifier: Apache-2.0
// The products of matmul_bf16 on AMX (amx/matmul_bf16_shape-inl.h tells how). Included by table.cc
// alone.
#pragma once

namespace paring::kernels {
namespace {

// Sums of 16 tokens and a panel, of which `tokens` and `rows` exist, from and to y.
struct SumTile {
  float* y;
  std::size_t y_stride;
  std::size_t tokens;
  std::size_t rows;

  PARING_INLINE bool is_whole() const { return tokens == kTileRows && rows == kPanelRows; }
  template <int kTile>
  PARING_INLINE void load() const {
    if (is_whole()) return tile_load<kTile>(y, y_stride * sizeof(float));
    alignas(64) float part[kTileRows][kPanelRows];
    for (std::size_t t = 0; t < kTileRows; ++t) {
      kernels::store(part[t], t < tokens ? load_first(y + t * y_stride, rows) : kernels::zero());
    }
    tile_load<kTile>(part, kTileRowBytes);
  }
  template <int kTile>
  PARING_INLINE void store() const {
    if (is_whole()) return tile_store<kTile>(y, y_stride * sizeof(float));
    alignas(64) float part[kTileRows][kPanelRows];
    tile_store<kTile>(part, kTileRowBytes);
    for (std::size_t t = 0; t < tokens; ++t) {
      store_first(y + t * y_stride, kernels::load(part[t]), rows);
    }
  }
};

// kHalves times 16 tokens from t on x kPanels panels from `panel` on. Register 2 h + p holds the
// sums of half h and panel p.
template <int kHalves, int kPanels>
PARING_NOINLINE void bf16_tile(const Bf16Job& job, const Bf16Panels& weights, const Bf16Block& x,
                               std::size_t t, std::size_t panel) {
  const Bf16Group* groups = weights.groups + (panel - job.panels.begin) * job.groups;
  const auto sum_tile = [&](std::size_t half, std::size_t p) {
    const std::size_t first = t + half * kTileRows;
    const std::size_t left = job.tokens - first;
    return SumTile{job.y + first * job.y_stride + (panel + p) * kPanelRows, job.y_stride,
                   left < kTileRows ? left : kTileRows, job.rows(panel + p)};
  };
  if (job.is_first) {
    tile_zero<0>();
    if constexpr (kPanels > 1) tile_zero<1>();
    if constexpr (kHalves > 1) tile_zero<2>();
    if constexpr (kHalves > 1 && kPanels > 1) tile_zero<3>();
  } else {
    sum_tile(0, 0).template load<0>();
    if constexpr (kPanels > 1) sum_tile(0, 1).template load<1>();
    if constexpr (kHalves > 1) sum_tile(1, 0).template load<2>();
    if constexpr (kHalves > 1 && kPanels > 1) sum_tile(1, 1).template load<3>();
  }
  constexpr std::size_t kRowStride = kBf16RowValues * sizeof(std::uint16_t);
  for (std::size_t g = 0; g < job.groups; ++g) {
    tile_load<4>(x.values[t] + g * kBf16GroupCols, kRowStride);
    tile_load<6>(groups[g].values, kTileRowBytes);
    tile_add_products_bf16<0, 4, 6>();
    if constexpr (kPanels > 1) {
      tile_load<7>(groups[job.groups + g].values, kTileRowBytes);
      tile_add_products_bf16<1, 4, 7>();
    }
    if constexpr (kHalves > 1) {
      tile_load<5>(x.values[t + kTileRows] + g * kBf16GroupCols, kRowStride);
      tile_add_products_bf16<2, 5, 6>();
      if constexpr (kPanels > 1) tile_add_products_bf16<3, 5, 7>();
    }
  }
  sum_tile(0, 0).template store<0>();
  if constexpr (kPanels > 1) sum_tile(0, 1).template store<1>();
  if constexpr (kHalves > 1) sum_tile(1, 0).template store<2>();
  if constexpr (kHalves > 1 && kPanels > 1) sum_tile(1, 1).template store<3>();
}

// Two panels stay in L1 while the tokens go over them.
inline void multiply_block(const Bf16Job& job, const Bf16Panels& weights, const Bf16Block& x) {
  const auto multiply = [&]<int kPanels>(std::size_t panel) {
    for (std::size_t t = 0; t < job.tokens; t += kBf16TileTokens) {
      if (job.tokens - t > kTileRows) {
        bf16_tile<2, kPanels>(job, weights, x, t, panel);
      } else {
        bf16_tile<1, kPanels>(job, weights, x, t, panel);
      }
    }
  };
  std::size_t p = job.panels.begin;
  for (; p + 2 <= job.panels.end; p += 2) multiply.template operator()<2>(p);
  if (p < job.panels.end) multiply.template operator()<1>(p);
}

}  // namespace
}  // namespace paring::kernels
