// SPDX-License-Identifier: Apache-2.0
// Sizes of matmul_bf16 on AVX512_BF16. Included by table.cc alone.
#pragma once

namespace paring::kernels {
namespace {

// A tile has 24 sums, two vectors of weights and a pair of activations, which is broadcast.
inline constexpr std::size_t kBf16TileTokens = 12;
inline constexpr std::size_t kBf16TilePanels = 2;
// Tokens that are rounded together: whole tiles, 52 KB.
inline constexpr std::size_t kBf16BlockTokens = 48;
inline constexpr std::size_t kBf16RowStep = 1;

struct Bf16Unit {
  Bf16Unit() {}  // nothing to set up
};

}  // namespace
}  // namespace paring::kernels
