// SPDX-License-Identifier: Apache-2.0
// What probes of AMX have of their own: the rate of whole tiles. The kernels use half of a tile's
// depth where scales belong to groups of 32 (kernels/amx/).
#include "cost/probe_tables.h"

#define PARING_INLINE [[gnu::always_inline]] inline
#include "kernels/amx/tiles-inl.h"

namespace paring::cost {
namespace {

using kernels::kTileRowBytes;
using kernels::kTileRows;

constexpr int kChains = 4;

void configure() {
  kernels::TileShapes shapes;
  for (std::size_t tile = 0; tile < 8; ++tile) shapes.set(tile, kTileRows, kTileRowBytes);
  kernels::tiles_configure(shapes);
}

// A tile of equal numbers of 32 bits.
template <int kTile, class Number>
void load_numbers(Number number) {
  alignas(64) Number row[kTileRowBytes / 4];
  for (Number& each : row) each = number;
  kernels::tile_load<kTile>(row, 0);
}

template <int kTile, class Number>
Number first_number() {
  alignas(64) Number tile[kTileRows][kTileRowBytes / 4];
  kernels::tile_store<kTile>(tile, kTileRowBytes);
  return tile[0][0];
}

// product<kSum>() adds the product of registers 4 and 5 to register kSum. Chain i starts at i.
template <class Number, class Product>
Number multiply(std::uint64_t rounds, std::uint32_t left, std::uint32_t right,
                const Product& product) {
  configure();
  load_numbers<0>(Number{0});
  load_numbers<1>(Number{1});
  load_numbers<2>(Number{2});
  load_numbers<3>(Number{3});
  load_numbers<4>(left);
  load_numbers<5>(right);
  for (std::uint64_t round = 0; round < rounds; ++round) {
    product.template operator()<0>();
    product.template operator()<1>();
    product.template operator()<2>();
    product.template operator()<3>();
  }
  const Number low = first_number<0, Number>() + first_number<1, Number>();
  const Number high = first_number<2, Number>() + first_number<3, Number>();
  kernels::tiles_release();
  return low + high;
}

std::int32_t multiply_int8(std::uint64_t rounds) noexcept {
  // 3 and -5 in every byte; sums wrap.
  return static_cast<std::int32_t>(
      multiply<std::uint32_t>(rounds, 0x03030303, 0xfbfbfbfb,
                              []<int kSum>() { kernels::tile_add_products_s8<kSum, 4, 5>(); }));
}

float multiply_bf16(std::uint64_t rounds) noexcept {
  // 1 and 0.5 in every half.
  return multiply<float>(rounds, 0x3f803f80, 0x3f003f00,
                         []<int kSum>() { kernels::tile_add_products_bf16<kSum, 4, 5>(); });
}

}  // namespace

const ProbeTable kAmxProbes = {
    .isa = "amx",
    .multiply_int8 = multiply_int8,
    .multiply_int8_operations = 2.0 * 16 * 16 * 64 * kChains,
    .multiply_bf16 = multiply_bf16,
    .multiply_bf16_operations = 2.0 * 16 * 16 * 32 * kChains,
};

}  // namespace paring::cost
