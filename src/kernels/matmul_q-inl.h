// SPDX-License-Identifier: Apache-2.0
// matmul_q: the order of work that levels of vectors share. A level's matmul_q_tile-inl.h brings
// the inner loop, which multiplies a tile of tokens with a panel. It reads the weights either from
// the panel as stored (few tokens: each weight is used at once and comes from memory) or from a
// panel that was unpacked once for a block of tokens (matmul_q_unpacked-inl.h). Both give the same
// integers and scales, so the order of additions (ops.h) is one. Included by the ISA tables alone.
#pragma once

namespace paring::kernels {
namespace {

// Groups of a pass over k, whose scales of tokens are on the stack; sums wait in y between passes.
constexpr std::size_t kStoredPassGroups = 256;

using StoredTokens = TokenTile<kStoredTokens, kStoredPassGroups>;

// kTokens tokens x one panel x the job's groups; continues the sums in y unless first_group is 0.
template <class Type, int kTokens>
void tile_stored(const TileJob& job, const StoredTokens& x, const PackedMatrix& w,
                 std::size_t panel_index);

// Tokens 0..kStoredTokens of x, weights as stored.
template <class Type>
inline void matmul_q_stored(const PackedMatrix& w, const QuantizedRows& x, std::size_t tokens,
                            float* y, std::size_t stride, PanelRange panels) {
  const std::size_t row_groups = w.cols / kGroupValues;
  StoredTokens tile;
  for (std::size_t first = 0; first < row_groups; first += kStoredPassGroups) {
    const std::size_t left = row_groups - first;
    const std::size_t groups = left < kStoredPassGroups ? left : kStoredPassGroups;
    gather_tokens<Type>(x, 0, tokens, first, groups, tile);
    const TileJob job{first, groups, y, stride};
    with_count<kStoredTokens>(tokens, [&]<int kTokens>() {
      for (std::size_t p = panels.begin; p < panels.end; ++p) {
        tile_stored<Type, kTokens>(job, tile, w, p);
      }
    });
  }
}

template <class Type>
inline void matmul_q_type(const PackedMatrix& w, const QuantizedRows& x, std::size_t tokens,
                          float* y, std::size_t stride, PanelRange panels) {
  if (tokens <= kStoredTokens) return matmul_q_stored<Type>(w, x, tokens, y, stride, panels);
  matmul_q_unpacked<Type>(w, x, tokens, y, stride, panels);
}

inline void matmul_q(const PackedMatrix& w, const QuantizedRows& x, std::size_t tokens, float* y,
                     std::size_t stride, PanelRange panels) noexcept {
  if (tokens == 0 || panels.begin >= panels.end) return;
  with_block_type(w.type,
                  [&]<class Type>() { matmul_q_type<Type>(w, x, tokens, y, stride, panels); });
}

}  // namespace
}  // namespace paring::kernels
