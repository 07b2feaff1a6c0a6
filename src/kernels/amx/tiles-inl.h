// SPDX-License-Identifier: Apache-2.0
// The tile vocabulary of the AMX table: eight registers of up to 16 rows x 64 bytes, and products
// of two of them added to a third. Intel SDM vol. 1 ch. 18 and vol. 2. Instructions, not the
// compiler's intrinsics: those of GCC 12 do not say that they read memory, so stores to a buffer
// may move behind the load of it. A thread's registers hold nothing between kernels: each
// configures, and releases, so that the system has no 8 KB more to save. Included by table.cc
// alone.
#pragma once

namespace paring::kernels {
namespace {

inline constexpr std::size_t kTileRows = 16;
inline constexpr std::size_t kTileRowBytes = 64;

// Memory operand of ldtilecfg, palette 1: rows and bytes of a row of each register.
struct alignas(64) TileShapes {
  std::uint8_t palette = 1;
  std::uint8_t start_row = 0;
  std::uint8_t reserved[14] = {};
  std::uint16_t row_bytes[16] = {};
  std::uint8_t rows[16] = {};

  PARING_INLINE void set(std::size_t tile, std::size_t tile_rows, std::size_t tile_row_bytes) {
    rows[tile] = static_cast<std::uint8_t>(tile_rows);
    row_bytes[tile] = static_cast<std::uint16_t>(tile_row_bytes);
  }
};
static_assert(sizeof(TileShapes) == 64);

// Sets the shapes of all registers and zeroes them.
PARING_INLINE void tiles_configure(const TileShapes& shapes) {
  asm volatile("ldtilecfg %0" : : "m"(shapes) : "memory");
}
PARING_INLINE void tiles_release() { asm volatile("tilerelease" : : : "memory"); }

template <int kTile>
PARING_INLINE void tile_zero() {
  asm volatile("tilezero %%tmm%c0" : : "i"(kTile));
}
// Rows `stride` bytes apart.
template <int kTile>
PARING_INLINE void tile_load(const void* rows, std::size_t stride) {
  asm volatile("tileloadd (%1,%2,1), %%tmm%c0" : : "i"(kTile), "r"(rows), "r"(stride) : "memory");
}
template <int kTile>
PARING_INLINE void tile_store(void* rows, std::size_t stride) {
  asm volatile("tilestored %%tmm%c0, (%1,%2,1)" : : "i"(kTile), "r"(rows), "r"(stride) : "memory");
}
// kSum[m][n] += sum over quads k and bytes b of kLeft[m][4k + b] * kRight[k][4n + b], all signed.
template <int kSum, int kLeft, int kRight>
PARING_INLINE void tile_add_products_s8() {
  asm volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kSum), "i"(kLeft), "i"(kRight));
}

// kSum[m][n] += the products of pairs of bf16 that lie as the quads above: over all k those of the
// first of each pair, over all k those of the second, both from zero on; then their sum. Rounded to
// nearest at each step, denormals are zero.
template <int kSum, int kLeft, int kRight>
PARING_INLINE void tile_add_products_bf16() {
  asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kSum), "i"(kLeft), "i"(kRight));
}

}  // namespace
}  // namespace paring::kernels
