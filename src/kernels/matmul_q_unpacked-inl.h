// SPDX-License-Identifier: Apache-2.0
// matmul_q over panels that are unpacked once for a block of tokens: unpacking, the tokens of a
// tile, and the order of work. A level's matmul_q_tile-inl.h brings the inner loop. Included by the
// ISA tables alone.
#pragma once

namespace paring::kernels {
namespace {

// Groups of a pass over k; sums wait in y between passes. Bounds what is on the stack, and keeps a
// tile of tokens in L1. Whole super-blocks.
constexpr std::size_t kUnpackedPassGroups = 64;
// Groups of unpacked panels (640 to 768 bytes each) that wait in L2 for all tiles of tokens.
constexpr std::size_t kUnpackedGroups = 384;

// Tokens of a tile: their codes, where quantize_rows left them, and what else they contribute to
// each group, gathered once for many panels.
template <std::size_t kTokensMax, std::size_t kGroupsMax>
struct TokenTile {
  const std::int8_t* codes;  // of the first token, first group
  std::size_t stride;
  alignas(64) float scales[kTokensMax][kGroupsMax];
  union {
    // Types without minima: -zero * (sum of the activation codes), of each half for halved types.
    alignas(64) std::int32_t starts[2][kTokensMax][kGroupsMax];
    // With minima: scale * (sum of the codes); halved types: the sum of the codes of each half.
    alignas(64) float sums[2][kTokensMax][kGroupsMax];
  };
  PARING_INLINE const std::int8_t* codes_at(std::size_t t, std::size_t i) const {
    return codes + t * stride + i * kGroupValues;
  }
};
using TileTokens = TokenTile<kQuantizedTileTokens, kUnpackedPassGroups>;

// A tile of tokens times panels, groups [first_group, first_group + groups).
struct TileJob {
  std::size_t first_group;
  std::size_t groups;
  float* y;  // of the first token, row 0 of the matrix
  std::size_t y_stride;
};

// What the inner loop has to know of a type: scales a group, minima, and how wide its codes are as
// they are multiplied. Types that are equal in this share a loop over unpacked panels.
struct TileTraits {
  std::size_t halves;
  bool has_mins;
  int bits;  // 5 (or less), 6, or 8: signed values; 8 as well where products are wide
};

// What is added to a code before it is multiplied: a level without products of signed bytes makes
// signed values unsigned by kSignedOffset; one that takes zero points off has nothing left to
// correct.
template <class Type>
constexpr int code_offset() {
  if constexpr (Type::kIsSigned) return kSignedOffset;
  return kTakesZeroOff ? -Type::kZero : 0;
}

// Zero point of the codes as the level multiplies them.
template <class Type>
constexpr int zero_point() {
  return code_offset<Type>() + (Type::kIsSigned ? 0 : Type::kZero);
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

// Groups of a pass of one panel, ready to multiply.
struct UnpackedPanel {
  std::uint8_t (*codes)[8 * 64];
  float (*scales)[2 * kPanelRows];
  float (*mins)[2 * kPanelRows];
};

// Room for the panels that all tiles of tokens go over.
struct UnpackedPanels {
  alignas(64) std::uint8_t codes[kUnpackedGroups][8 * 64];
  alignas(64) float scales[kUnpackedGroups][2 * kPanelRows];
  alignas(64) float mins[kUnpackedGroups][2 * kPanelRows];
  UnpackedPanel at(std::size_t group) { return {codes + group, scales + group, mins + group}; }
};

// kTokens tokens x kPanels panels, unpacked one after the other, x the job's groups; continues the
// sums in y unless first_group is 0.
template <TileTraits kTraits, int kTokens, int kPanels>
void tile_unpacked(const TileJob& job, const TileTokens& x, const UnpackedPanel& panel,
                   std::size_t matrix_rows, std::size_t panel_index);

template <class Type>
PARING_NOINLINE void unpack_panel(const PanelPlanes& panel, std::size_t first, std::size_t groups,
                                  const UnpackedPanel& target) {
  SubScales subs;
  for (std::size_t i = 0; i < groups; ++i) {
    const std::size_t g = first + i;
    if (g % kSuperGroups == 0) unpack_subs<Type>(panel, g / kSuperGroups, subs);
    prefetch_group<Type>(panel, g);
#pragma GCC unroll 8
    for (std::size_t j = 0; j < 8; ++j) {
      Quad quad = load_codes<Type, Quad>(panel, g, j);
      if constexpr (code_offset<Type>() != 0) quad = add_bytes(quad, code_offset<Type>());
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

// Tokens [t, t + tokens), `groups` groups.
template <class Type, class Tile>
inline void gather_tokens(const QuantizedRows& x, std::size_t t, std::size_t tokens,
                          std::size_t first_group, std::size_t groups, Tile& tile) {
  tile.codes = x.codes + t * x.cols + first_group * kGroupValues;
  tile.stride = x.cols;
  const std::size_t row_groups = x.cols / kGroupValues;
  for (std::size_t r = 0; r < tokens; ++r) {
    const std::size_t base = (t + r) * row_groups + first_group;
    const std::int32_t* halves = x.code_sums + 2 * base;
    for (std::size_t i = 0; i < groups; ++i) tile.scales[r][i] = x.scales[base + i];
    for (std::size_t i = 0; i < groups; ++i) {
      if constexpr (Type::kHasMins && Type::kHalves == 1) {
        tile.sums[0][r][i] = x.value_sums[base + i];
      } else if constexpr (Type::kHasMins) {
        tile.sums[0][r][i] = static_cast<float>(halves[2 * i]);
        tile.sums[1][r][i] = static_cast<float>(halves[2 * i + 1]);
      } else if constexpr (Type::kHalves == 1) {
        tile.starts[0][r][i] = -zero_point<Type>() * (halves[2 * i] + halves[2 * i + 1]);
      } else {
        tile.starts[0][r][i] = -zero_point<Type>() * halves[2 * i];
        tile.starts[1][r][i] = -zero_point<Type>() * halves[2 * i + 1];
      }
    }
  }
}

// What has to be set up before tiles of a size; nothing, with vectors.
struct NoTileUnit {
  template <TileTraits kTraits, int kTokens>
  PARING_INLINE void set() const {}
};

// Panels are unpacked once, as many as stay in L2, and each tile of tokens, which stays in L1, goes
// over them.
template <class Type, class TileUnit = NoTileUnit>
inline void matmul_q_unpacked(const PackedMatrix& w, const QuantizedRows& x, std::size_t tokens,
                              float* y, std::size_t stride, PanelRange panels) {
  const std::size_t row_groups = w.cols / kGroupValues;
  UnpackedPanels unpacked;
  TileTokens tile;
  TileUnit unit;
  for (std::size_t first = 0; first < row_groups; first += kUnpackedPassGroups) {
    const std::size_t left = row_groups - first;
    const std::size_t groups = left < kUnpackedPassGroups ? left : kUnpackedPassGroups;
    const std::size_t batch = kUnpackedGroups / groups;
    for (std::size_t begin = panels.begin; begin < panels.end; begin += batch) {
      const std::size_t end = begin + batch < panels.end ? begin + batch : panels.end;
      for (std::size_t p = begin; p < end; ++p) {
        unpack_panel<Type>(panel_planes(w, p), first, groups, unpacked.at((p - begin) * groups));
      }
      for (std::size_t t = 0; t < tokens;) {
        const std::size_t rows = next_tile(tokens - t, kQuantizedTileTokens);
        gather_tokens<Type>(x, t, rows, first, groups, tile);
        const TileJob job{first, groups, y + t * stride, stride};
        with_count<kQuantizedTileTokens>(rows, [&]<int kTokens>() {
          unit.template set<tile_traits<Type>(), kTokens>();
          std::size_t p = begin;
          for (; p + kTilePanels <= end; p += kTilePanels) {
            tile_unpacked<tile_traits<Type>(), kTokens, kTilePanels>(
                job, tile, unpacked.at((p - begin) * groups), w.rows, p);
          }
          for (; kTilePanels > 1 && p < end; ++p) {
            tile_unpacked<tile_traits<Type>(), kTokens, 1>(
                job, tile, unpacked.at((p - begin) * groups), w.rows, p);
          }
        });
        t += rows;
      }
    }
  }
}

}  // namespace
}  // namespace paring::kernels
