// SPDX-License-Identifier: Apache-2.0
// The inner loop of matmul_q on AMX INT8 (amx/matmul_q_shape-inl.h tells how). Registers 0 to 3
// hold products, 4 and 5 tokens, 6 and 7 weights, so that four products are on their way before the
// first is read back. Included by table.cc alone.
#pragma once

namespace paring::kernels {
namespace {

constexpr std::size_t kProductTiles = 4;

// Integers of a product: 16 rows of the panel for each token.
struct alignas(64) ProductTile {
  std::int32_t values[kTileRows][kPanelRows];
};

class TileUnit {
 public:
  TileUnit() = default;
  TileUnit(const TileUnit&) = delete;
  TileUnit& operator=(const TileUnit&) = delete;
  ~TileUnit() { tiles_release(); }

  template <TileTraits kTraits, int kTokens>
  PARING_INLINE void set() {
    if (tokens_ != kTokens) configure(kTokens, kGroupValues / kTraits.halves);
  }

 private:
  PARING_NOINLINE void configure(std::size_t tokens, std::size_t columns) {
    tokens_ = tokens;
    TileShapes shapes;
    for (std::size_t i = 0; i < kProductTiles; ++i) shapes.set(i, tokens, kTileRowBytes);
    for (std::size_t i = 0; i < 2; ++i) {
      shapes.set(4 + i, tokens, columns);
      shapes.set(6 + i, columns / 4, kTileRowBytes);
    }
    tiles_configure(shapes);
  }

  std::size_t tokens_ = 0;  // as configured; the type of a product does not change
};

// Register kTile = products of half `h` of group `i`.
template <int kTile, TileTraits kTraits, class Tokens>
PARING_INLINE void multiply_tile(const UnpackedPanel& panel, const Tokens& x, std::size_t i,
                                 std::size_t h) {
  constexpr int kOperand = kTile % 2;
  constexpr std::size_t kColumns = kGroupValues / kTraits.halves;
  tile_zero<kTile>();
  tile_load<4 + kOperand>(x.codes_at(0, i) + h * kColumns, x.stride);
  tile_load<6 + kOperand>(panel.codes[i] + h * kColumns * kPanelRows, kTileRowBytes);
  tile_add_products_s8<kTile, 4 + kOperand, 6 + kOperand>();
}

// Product tile j of the pass from group `i` on belongs to group i + j / halves. Those of `groups`
// groups are made and put into `products`.
template <TileTraits kTraits, class Tokens>
PARING_INLINE void multiply_groups(const UnpackedPanel& panel, const Tokens& x, std::size_t i,
                                   std::size_t groups, ProductTile (&products)[kProductTiles]) {
  constexpr std::size_t kHalves = kTraits.halves;
  const std::size_t count = groups * kHalves;
  multiply_tile<0, kTraits>(panel, x, i, 0);
  if (count > 1) multiply_tile<1, kTraits>(panel, x, i + 1 / kHalves, 1 % kHalves);
  if (count > 2) multiply_tile<2, kTraits>(panel, x, i + 2 / kHalves, 0);
  if (count > 3) multiply_tile<3, kTraits>(panel, x, i + 3 / kHalves, 1 % kHalves);
  tile_store<0>(products[0].values, kTileRowBytes);
  if (count > 1) tile_store<1>(products[1].values, kTileRowBytes);
  if (count > 2) tile_store<2>(products[2].values, kTileRowBytes);
  if (count > 3) tile_store<3>(products[3].values, kTileRowBytes);
}

// Sums of a tile: they go through memory once a pass, so that one loop serves any number of tokens.
struct alignas(64) SumRows {
  float values[kTileRows][kPanelRows];
};

PARING_INLINE F32x16 load_product(const ProductTile& product, std::size_t t) {
  return to_f32(I32x16{_mm512_load_si512(product.values[t])});
}

// `sum` of token t with the products of group i added, in the order of ops.h.
template <TileTraits kTraits, class Tokens>
PARING_INLINE F32x16 add_group(const UnpackedPanel& panel, const Tokens& x,
                               const ProductTile* products, std::size_t t, std::size_t i,
                               F32x16 sum) {
  const F32x16 x_scale = broadcast(x.scales[t][i]);
  const F32x16 scale = load(panel.scales[i]);
  const F32x16 product = load_product(products[0], t);
  if constexpr (kTraits.halves == 1) {
    sum = fma(mul(x_scale, scale), product, sum);
    if constexpr (kTraits.has_mins) {
      sum = fma(load(panel.mins[i]), broadcast(x.sums[0][t][i]), sum);
    }
    return sum;
  } else {
    F32x16 group = mul(scale, product);
    group = fma(load(panel.scales[i] + kPanelRows), load_product(products[1], t), group);
    if constexpr (kTraits.has_mins) {
      group = fma(load(panel.mins[i]), broadcast(x.sums[0][t][i]), group);
      group = fma(load(panel.mins[i] + kPanelRows), broadcast(x.sums[1][t][i]), group);
    }
    return fma(x_scale, group, sum);
  }
}

template <TileTraits kTraits>
PARING_NOINLINE void tile_of(const TileJob& job, const TileTokens& x, const UnpackedPanel& panel,
                             std::size_t rows, std::size_t tokens, float* y) {
  constexpr std::size_t kPassGroups = kProductTiles / kTraits.halves;
  SumRows sums;
  for (std::size_t t = 0; t < tokens; ++t) {
    store(sums.values[t], job.first_group == 0 ? zero() : load_first(y + t * job.y_stride, rows));
  }
  ProductTile products[kProductTiles];
  for (std::size_t i = 0; i < job.groups; i += kPassGroups) {
    const std::size_t rest = job.groups - i;
    const std::size_t groups = rest < kPassGroups ? rest : kPassGroups;
    multiply_groups<kTraits>(panel, x, i, groups, products);
    for (std::size_t t = 0; t < tokens; ++t) {
      F32x16 sum = load(sums.values[t]);
      for (std::size_t g = 0; g < groups; ++g) {
        sum = add_group<kTraits>(panel, x, products + g * kTraits.halves, t, i + g, sum);
      }
      store(sums.values[t], sum);
    }
  }
  for (std::size_t t = 0; t < tokens; ++t) {
    store_first(y + t * job.y_stride, load(sums.values[t]), rows);
  }
}

template <TileTraits kTraits, int kTokens, int kPanels>
inline void tile_unpacked(const TileJob& job, const TileTokens& x, const UnpackedPanel& panel,
                          std::size_t matrix_rows, std::size_t panel_index) {
  static_assert(kPanels == 1);
  const std::size_t left = matrix_rows - panel_index * kPanelRows;
  tile_of<kTraits>(job, x, panel, left < kPanelRows ? left : kPanelRows, kTokens,
                   job.y + panel_index * kPanelRows);
}

inline void matmul_q(const PackedMatrix& w, const QuantizedRows& x, std::size_t tokens, float* y,
                     std::size_t stride, PanelRange panels) noexcept {
  if (tokens <= kVectorTokens) return kAvx512Kernels.matmul_q(w, x, tokens, y, stride, panels);
  if (panels.begin >= panels.end) return;
  with_block_type(w.type, [&]<class Type>() {
    matmul_q_unpacked<Type, TileUnit>(w, x, tokens, y, stride, panels);
  });
}

}  // namespace
}  // namespace paring::kernels
