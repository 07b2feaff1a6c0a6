// SPDX-License-Identifier: Apache-2.0
// matmul_q on AMX INT8. The left operand is a tile of up to 16 tokens, read where quantize_rows
// left it; the right one a group of a panel, whose layout is the instruction's: quads of k below
// each other, 16 rows side by side. A product of two tiles sums over one group (half of one, where
// a scale covers 16 columns), because every group has scales of its own: half of a register's depth
// is used. Its integers go through memory to vectors, which scale and add them in the order of
// ops.h. Included by table.cc alone.
//
// When it pays, in cycles for a group of a panel and m tokens (Intel's optimization manual: a
// product of tiles starts every 16 cycles, a load or a store of 16 rows takes 8 or 16): 16 for the
// product, and as much for the store beside it, against 3 vector instructions a token on two ports:
// about 16 + 2 m, nothing of which overlaps in the worst case. VNNI takes 11 instructions a token
// on two ports, 5.5 m. They meet at 5 tokens. Up to 8 AVX-512 reads panels as stored, which saves
// the unpacking that tiles need, so that is where tiles take over.
#pragma once

namespace paring::kernels {
namespace {

inline constexpr std::size_t kQuantizedTileTokens = kTileRows;
inline constexpr std::size_t kTilePanels = 1;
// Up to this many tokens are the AVX-512 table's.
inline constexpr std::size_t kVectorTokens = 8;
// Signed by signed bytes: every code fits once its zero point is taken off.
inline constexpr int kSignedOffset = 0;
inline constexpr bool kTakesZeroOff = true;
inline constexpr bool kHasNarrowProducts = false;

}  // namespace
}  // namespace paring::kernels
