// SPDX-License-Identifier: Apache-2.0
// What probes of AMX have of their own: the rate of whole tiles. The kernels use half of a tile's
// depth where scales belong to groups of 32 (kernels/amx/).
#include <cstring>

#include "cost/probe_tables.h"

#define PARING_INLINE [[gnu::always_inline]] inline
#include "kernels/amx/tiles-inl.h"

namespace paring::cost {
namespace {

using kernels::kTileRowBytes;
using kernels::kTileRows;

constexpr int kChains = 4;

struct alignas(64) Tile {
  std::int8_t bytes[kTileRows][kTileRowBytes];
};

void configure() {
  kernels::TileShapes shapes;
  for (std::size_t tile = 0; tile < 8; ++tile) shapes.set(tile, kTileRows, kTileRowBytes);
  kernels::tiles_configure(shapes);
}

// A tile of equal 32-bit numbers.
template <int kTile>
void load_numbers(std::int32_t number) {
  alignas(64) std::int32_t row[kTileRowBytes / 4];
  for (std::int32_t& each : row) each = number;
  kernels::tile_load<kTile>(row, 0);
}

template <int kTile>
std::int32_t first_number() {
  Tile tile;
  kernels::tile_store<kTile>(tile.bytes, kTileRowBytes);
  std::int32_t number;
  std::memcpy(&number, tile.bytes, sizeof(number));
  return number;
}

std::int32_t multiply_int8(std::uint64_t rounds) noexcept {
  configure();
  load_numbers<0>(0);
  load_numbers<1>(1);
  load_numbers<2>(2);
  load_numbers<3>(3);
  Tile left;
  Tile right;
  std::memset(&left, 3, sizeof(left));
  std::memset(&right, -5, sizeof(right));
  kernels::tile_load<4>(left.bytes, kTileRowBytes);
  kernels::tile_load<5>(right.bytes, kTileRowBytes);
  for (std::uint64_t round = 0; round < rounds; ++round) {
    kernels::tile_add_products_s8<0, 4, 5>();
    kernels::tile_add_products_s8<1, 4, 5>();
    kernels::tile_add_products_s8<2, 4, 5>();
    kernels::tile_add_products_s8<3, 4, 5>();
  }
  const auto total = static_cast<std::uint32_t>(first_number<0>()) +
                     static_cast<std::uint32_t>(first_number<1>()) +
                     static_cast<std::uint32_t>(first_number<2>()) +
                     static_cast<std::uint32_t>(first_number<3>());
  kernels::tiles_release();
  return static_cast<std::int32_t>(total);
}

}  // namespace

const ProbeTable kAmxProbes = {
    .isa = "amx",
    .multiply_int8 = multiply_int8,
    .multiply_int8_operations = 2.0 * 16 * 16 * 64 * kChains,
};

}  // namespace paring::cost
