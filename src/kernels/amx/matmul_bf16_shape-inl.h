// SPDX-License-Identifier: Apache-2.0
// matmul_bf16 on AMX: 32 tokens x 2 panels in four registers of sums, which stay there over all
// columns of a pass; 4 and 5 hold tokens, 6 and 7 weights, 32 columns each. The order of additions
// is the instruction's: of 32 columns the even and the odd ones are summed apart, then together,
// then added to what came before. Included by table.cc alone.
//
// When it pays, in cycles for 32 columns of a panel and m tokens, 16 of them at most: a product of
// tiles starts every 16 cycles, the int8 path needs 16 + 2 m and VNNI 5.5 m (matmul_q_shape-inl.h),
// f32 with 32 multiply-adds a token on two ports 16 m. So it wins wherever the other tiles do.
#pragma once

namespace paring::kernels {
namespace {

inline constexpr std::size_t kBf16TileTokens = 2 * kTileRows;
inline constexpr std::size_t kBf16BlockTokens = 2 * kBf16TileTokens;  // 70 KB
inline constexpr std::size_t kBf16RowStep = kTileRows;

// All registers whole: rows that no token has are zeros.
struct Bf16Unit {
  Bf16Unit() {
    TileShapes shapes;
    for (std::size_t tile = 0; tile < 8; ++tile) shapes.set(tile, kTileRows, kTileRowBytes);
    tiles_configure(shapes);
  }
  Bf16Unit(const Bf16Unit&) = delete;
  Bf16Unit& operator=(const Bf16Unit&) = delete;
  ~Bf16Unit() { tiles_release(); }
};

}  // namespace
}  // namespace paring::kernels
