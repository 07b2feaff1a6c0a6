// SPDX-License-Identifier: Apache-2.0
// matmul_q: the order of work that all levels share. A level's matmul_q_tile-inl.h brings the inner
// loop, tile_panel(), which multiplies a tile of tokens with a panel. It reads the weights either
// from the panel as stored (few tokens: each weight is used at once and comes from memory) or from
// a panel that was unpacked once for a block of tokens. Both give the same integers and scales, so
// the order of additions (ops.h) is one. Included by the ISA tables alone.
#pragma once

namespace paring::kernels {
namespace {

// Groups of a pass over k; sums wait in y between passes. Bounds the factors on the stack, and
// keeps an unpacked panel (640 to 768 bytes a group) in L1 or L2. Whole super-blocks.
constexpr std::size_t kStoredPassGroups = 256;
constexpr std::size_t kUnpackedPassGroups = 64;
// Tokens that an unpacked panel serves; their codes (2 KB a token and pass) stay in L2.
constexpr std::size_t kBlockTiles = 72 / kQuantizedTileTokens;

// What a tile of tokens contributes to a group, token by token, gathered once for many panels.
template <std::size_t kTokensMax>
struct GroupFactors {
  float scales[kTokensMax];
  union {
    // Types without minima: -zero * (sum of the activation codes), of each half for halved types.
    std::int32_t starts[2][kTokensMax];
    // With minima: scale * (sum of the codes); halved types: the sum of the codes of each half.
    float sums[2][kTokensMax];
  };
};

template <std::size_t kTokensMax>
struct TileJob {
  const std::int8_t* codes;  // of the first token, first group
  std::size_t codes_stride;
  const GroupFactors<kTokensMax>* factors;
  std::size_t first_group;
  std::size_t groups;
  float* y;  // of the first token, row 0 of the matrix
  std::size_t y_stride;
  // Asked for while the tile computes, so many bytes a group: the codes that are unpacked next.
  const std::uint8_t* next_codes = nullptr;
  std::size_t next_codes_bytes = 0;
  const std::uint8_t* next_high = nullptr;
  std::size_t next_high_bytes = 0;
};

template <std::size_t kTokensMax>
PARING_INLINE void prefetch_next(const TileJob<kTokensMax>& job, std::size_t i) {
  const std::uint8_t* codes = job.next_codes + i * job.next_codes_bytes;
  for (std::size_t b = 0; b < job.next_codes_bytes; b += 64) prefetch(codes + b);
  const std::uint8_t* high = job.next_high + i * job.next_high_bytes;
  for (std::size_t b = 0; b < job.next_high_bytes; b += 64) prefetch(high + b);
}

// What the inner loop has to know of a type: scales a group, minima, and how wide its codes are as
// they are multiplied. Types that are equal in this share a loop over unpacked panels.
struct TileTraits {
  std::size_t halves;
  bool has_mins;
  int bits;  // 5 (or less), 6, or 8: signed values; 8 as well where products are wide
};

// Zero point of the codes as the level multiplies them: a level without products of signed bytes
// makes them unsigned by adding kSignedOffset.
template <class Type>
constexpr int zero_point() {
  return Type::kIsSigned ? kSignedOffset : Type::kZero;
}

template <class Type>
constexpr TileTraits tile_traits() {
  constexpr int kBits = Type::kLowBits + Type::kHighBits <= 5 ? 5 : 6;
  return {Type::kHalves, Type::kHasMins, Type::kIsSigned || !kHasNarrowProducts ? 8 : kBits};
}

// With few tokens the weights come from memory: asks for the lines of the group that lies
// kAheadBytes further, which crosses into the next panels as the loop will.
template <class Type>
PARING_INLINE void prefetch_group(const PanelPlanes& panel, std::size_t g) {
  constexpr std::size_t kAheadGroups = kAheadBytes / Type::kGroupBytes;
  const std::uint8_t* codes = panel.codes + (g + kAheadGroups) * Type::kGroupBytes;
#pragma GCC unroll 8
  for (std::size_t i = 0; i < Type::kGroupBytes; i += 64) prefetch(codes + i);
  const std::uint8_t* high = panel.high + (g + kAheadGroups) * Type::kGroupHighBytes;
#pragma GCC unroll 2
  for (std::size_t i = 0; i < Type::kGroupHighBytes; i += 64) prefetch(high + i);
  if (g % Type::kScaleGroups != 0) return;
  const std::size_t entry = (g + kAheadGroups) / Type::kScaleGroups;
  prefetch(panel.scales + entry * kPanelRows);
  if constexpr (Type::kHasMins) prefetch(panel.mins + entry * kPanelRows);
  const std::uint8_t* subs = panel.subs + entry * Type::kSubBytes * kPanelRows;
#pragma GCC unroll 4
  for (std::size_t i = 0; i < Type::kSubBytes * kPanelRows; i += 64) {
    prefetch(subs + i);
  }
}

// Groups [first, first + kUnpackedPassGroups) of a panel, ready to multiply.
struct UnpackedPanel {
  alignas(64) std::uint8_t codes[kUnpackedPassGroups][8 * 64];
  alignas(64) float scales[kUnpackedPassGroups][2 * kPanelRows];
  alignas(64) float mins[kUnpackedPassGroups][2 * kPanelRows];
};

// kTokens tokens x one panel x the job's groups; continues the sums in y unless first_group is 0.
template <class Type, int kTokens>
void tile_stored(const TileJob<kStoredTokens>& job, const PackedMatrix& w, std::size_t panel_index);
template <TileTraits kTraits, int kTokens>
void tile_unpacked(const TileJob<kQuantizedTileTokens>& job, const UnpackedPanel& panel,
                   std::size_t matrix_rows, std::size_t panel_index);

template <class Type>
PARING_NOINLINE void unpack_panel(const PanelPlanes& panel, std::size_t first, std::size_t groups,
                                  UnpackedPanel& target) {
  SubScales subs;
  for (std::size_t i = 0; i < groups; ++i) {
    const std::size_t g = first + i;
    if (g % kSuperGroups == 0) unpack_subs<Type>(panel, g / kSuperGroups, subs);
    prefetch_group<Type>(panel, g);
#pragma GCC unroll 8
    for (std::size_t j = 0; j < 8; ++j) {
      Quad quad = load_codes<Type, Quad>(panel, g, j);
      if constexpr (Type::kIsSigned) quad = add_bytes(quad, kSignedOffset);
      store_quad(target.codes[i] + 64 * j, quad);
    }
#pragma GCC unroll 2
    for (std::size_t h = 0; h < Type::kHalves; ++h) {
      store(target.scales[i] + h * kPanelRows, load_scale<Type>(panel, g, h, subs));
      if constexpr (!Type::kHasMins) continue;
      store(target.mins[i] + h * kPanelRows, load_min<Type>(panel, g, h, subs));
    }
  }
}

// Factors of tokens [t, t + tokens) for `groups` groups.
template <class Type, std::size_t kTokensMax>
inline void gather_factors(const QuantizedRows& x, std::size_t t, std::size_t tokens,
                           std::size_t first_group, std::size_t groups,
                           GroupFactors<kTokensMax>* factors) {
  const std::size_t row_groups = x.cols / kGroupValues;
  for (std::size_t r = 0; r < tokens; ++r) {
    const std::size_t base = (t + r) * row_groups + first_group;
    for (std::size_t i = 0; i < groups; ++i) {
      const std::int32_t* halves = x.code_sums + 2 * (base + i);
      factors[i].scales[r] = x.scales[base + i];
      if constexpr (Type::kHasMins && Type::kHalves == 1) {
        factors[i].sums[0][r] = x.value_sums[base + i];
      } else if constexpr (Type::kHasMins) {
        factors[i].sums[0][r] = static_cast<float>(halves[0]);
        factors[i].sums[1][r] = static_cast<float>(halves[1]);
      } else if constexpr (Type::kHalves == 1) {
        factors[i].starts[0][r] = -zero_point<Type>() * (halves[0] + halves[1]);
      } else {
        factors[i].starts[0][r] = -zero_point<Type>() * halves[0];
        factors[i].starts[1][r] = -zero_point<Type>() * halves[1];
      }
    }
  }
}

// Tokens 0..kStoredTokens of x, weights as stored.
template <class Type>
inline void matmul_q_stored(const PackedMatrix& w, const QuantizedRows& x, std::size_t tokens,
                            float* y, std::size_t stride, PanelRange panels) {
  const std::size_t row_groups = w.cols / kGroupValues;
  GroupFactors<kStoredTokens> factors[kStoredPassGroups];
  for (std::size_t first = 0; first < row_groups; first += kStoredPassGroups) {
    const std::size_t left = row_groups - first;
    const std::size_t groups = left < kStoredPassGroups ? left : kStoredPassGroups;
    gather_factors<Type>(x, 0, tokens, first, groups, factors);
    const TileJob<kStoredTokens> job{
        x.codes + first * kGroupValues, x.cols, factors, first, groups, y, stride};
    with_count<kStoredTokens>(tokens, [&]<int kTokens>() {
      for (std::size_t p = panels.begin; p < panels.end; ++p) {
        tile_stored<Type, kTokens>(job, w, p);
      }
    });
  }
}

// Panels [begin, end) with tokens [t, t + tokens), groups of one pass.
template <class Type>
inline void matmul_q_block(const PackedMatrix& w, const QuantizedRows& x, std::size_t t,
                           std::size_t tokens, std::size_t first, std::size_t groups, float* y,
                           std::size_t stride, PanelRange panels) {
  GroupFactors<kQuantizedTileTokens> factors[kBlockTiles][kUnpackedPassGroups];
  UnpackedPanel unpacked;
  for (std::size_t done = 0, tile = 0; done < tokens; ++tile) {
    const std::size_t rows = next_tile(tokens - done, kQuantizedTileTokens);
    gather_factors<Type>(x, t + done, rows, first, groups, factors[tile]);
    done += rows;
  }
  for (std::size_t p = panels.begin; p < panels.end; ++p) {
    unpack_panel<Type>(panel_planes(w, p), first, groups, unpacked);
    for (std::size_t done = 0, tile = 0; done < tokens; ++tile) {
      const std::size_t rows = next_tile(tokens - done, kQuantizedTileTokens);
      TileJob<kQuantizedTileTokens> job{x.codes + (t + done) * x.cols + first * kGroupValues,
                                        x.cols,
                                        factors[tile],
                                        first,
                                        groups,
                                        y + (t + done) * stride,
                                        stride};
      if (tile == 0 && p + 1 < panels.end) {
        const PanelPlanes next = panel_planes(w, p + 1);
        job.next_codes = next.codes + first * Type::kGroupBytes;
        job.next_codes_bytes = Type::kGroupBytes;
        job.next_high = next.high + first * Type::kGroupHighBytes;
        job.next_high_bytes = Type::kGroupHighBytes;
      }
      with_count<kQuantizedTileTokens>(rows, [&]<int kTokens>() {
        tile_unpacked<tile_traits<Type>(), kTokens>(job, unpacked, w.rows, p);
      });
      done += rows;
    }
  }
}

template <class Type>
inline void matmul_q_type(const PackedMatrix& w, const QuantizedRows& x, std::size_t tokens,
                          float* y, std::size_t stride, PanelRange panels) {
  if (tokens <= kStoredTokens) return matmul_q_stored<Type>(w, x, tokens, y, stride, panels);
  const std::size_t row_groups = w.cols / kGroupValues;
  for (std::size_t first = 0; first < row_groups; first += kUnpackedPassGroups) {
    const std::size_t left = row_groups - first;
    const std::size_t groups = left < kUnpackedPassGroups ? left : kUnpackedPassGroups;
    for (std::size_t t = 0; t < tokens;) {
      const std::size_t rows = next_tile(tokens - t, kBlockTiles * kQuantizedTileTokens);
      matmul_q_block<Type>(w, x, t, rows, first, groups, y, stride, panels);
      t += rows;
    }
  }
}

inline void matmul_q(const PackedMatrix& w, const QuantizedRows& x, std::size_t tokens, float* y,
                     std::size_t stride, PanelRange panels) noexcept {
  if (tokens == 0 || panels.begin >= panels.end) return;
  with_block_type(w.type,
                  [&]<class Type>() { matmul_q_type<Type>(w, x, tokens, y, stride, panels); });
}

}  // namespace
}  // namespace paring::kernels
