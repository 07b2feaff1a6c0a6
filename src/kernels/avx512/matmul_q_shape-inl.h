// SPDX-License-Identifier: Apache-2.0
// Sizes of matmul_q on AVX-512 VNNI, apart from the vectors because levels with other products
// share those. Included by table.cc alone.
#pragma once

namespace paring::kernels {
namespace {

// Tokens and panels of a tile of matmul_q: 12 sums and 16 weight vectors leave registers for what
// is in flight. Every activation that is broadcast serves two panels; with 12 tokens and one panel
// the loads, not the products, are what limits.
inline constexpr std::size_t kQuantizedTileTokens = 6;
inline constexpr std::size_t kTilePanels = 2;
// Up to this many tokens read the weights as stored, each of them once.
inline constexpr std::size_t kStoredTokens = 8;
// vpdpbusd multiplies unsigned bytes (weights) by signed ones, in int32.
inline constexpr int kSignedOffset = 128;
inline constexpr bool kTakesZeroOff = false;
inline constexpr bool kHasNarrowProducts = false;

}  // namespace
}  // namespace paring::kernels
