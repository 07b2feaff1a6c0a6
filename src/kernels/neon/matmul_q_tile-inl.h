// SPDX-License-Identifier: Apache-2.0
// matmul_q on NEON: sdot adds four products of signed bytes to each int32 lane; one of its operands
// may be a quarter of a register, so that 16 activations of a token are loaded once and serve four
// quads. A whole panel at a time for one or two tokens, which are waiting for memory; half a panel
// x up to 5 tokens otherwise. Unsigned codes have at most 6 bits and are signed bytes as well; the
// integer sum starts at -zero * (sum of the activation codes), which is exact. Included by table.cc
// alone.
#pragma once

namespace paring::kernels {
namespace {

// A value for each of 4 * kCount rows, as f32 or as int32.
template <int kCount>
struct RowsF32 {
  float32x4_t v[kCount];
};
template <int kCount>
struct RowsI32 {
  int32x4_t v[kCount];
};

// Registers that hold a quad of the rows of a tile.
constexpr int row_registers(int tokens) { return tokens <= 2 ? 4 : 2; }
template <int kCount>
struct QuadOf {
  using Type = HalfQuad;
};
template <>
struct QuadOf<4> {
  using Type = Quad;
};

// The registers from a[at] on.
template <int kCount>
PARING_INLINE RowsF32<kCount> part_of(const F32x16& a, std::size_t at) {
  RowsF32<kCount> part;
#pragma GCC unroll 4
  for (int n = 0; n < kCount; ++n) part.v[n] = a.v[at + n];
  return part;
}
template <int kCount>
PARING_INLINE RowsF32<kCount> load_rows(const float* p) {
  RowsF32<kCount> rows;
#pragma GCC unroll 4
  for (int n = 0; n < kCount; ++n) rows.v[n] = vld1q_f32(p + 4 * n);
  return rows;
}
// The first `count` floats; the others read as zero.
template <int kCount>
PARING_INLINE RowsF32<kCount> load_rows_first(const float* p, std::size_t count) {
  if (count == 4 * kCount) return load_rows<kCount>(p);
  return part_of<kCount>(load_first(p, count), 0);
}
template <int kCount>
PARING_INLINE void store_rows_first(float* p, const RowsF32<kCount>& a, std::size_t count) {
  alignas(16) float lanes[4 * kCount];
  float* target = count == 4 * kCount ? p : lanes;
#pragma GCC unroll 4
  for (int n = 0; n < kCount; ++n) vst1q_f32(target + 4 * n, a.v[n]);
  if (target == p) return;
  for (std::size_t i = 0; i < count; ++i) p[i] = lanes[i];
}

// Rows 4 * kCount * part.. of a panel as stored.
template <class Type, int kCount>
struct StoredSource {
  PanelPlanes panel;
  SubScales subs;

  PARING_INLINE void start_group(std::size_t g, std::size_t part) {
    if (g % kSuperGroups == 0) unpack_subs<Type>(panel, g / kSuperGroups, subs);
    if (part == 0) prefetch_group<Type>(panel, g);
  }
  PARING_INLINE auto codes(std::size_t first, std::size_t i, std::size_t j, std::size_t part) {
    return load_codes<Type, typename QuadOf<kCount>::Type>(panel, first + i, j, part);
  }
  PARING_INLINE auto scale(std::size_t first, std::size_t i, std::size_t h, std::size_t part) {
    return part_of<kCount>(load_scale<Type>(panel, first + i, h, subs), part * kCount);
  }
  PARING_INLINE auto min(std::size_t first, std::size_t i, std::size_t h, std::size_t part) {
    return part_of<kCount>(load_min<Type>(panel, first + i, h, subs), part * kCount);
  }
};

// The same, unpacked before.
template <int kCount>
struct UnpackedSource {
  const UnpackedPanel& panel;

  PARING_INLINE void start_group(std::size_t, std::size_t) {}
  PARING_INLINE auto codes(std::size_t, std::size_t i, std::size_t j, std::size_t part) {
    const std::uint8_t* codes = panel.codes[i] + 64 * j + 16 * kCount * part;
    return load_vector<typename QuadOf<kCount>::Type>(codes);
  }
  PARING_INLINE auto scale(std::size_t, std::size_t i, std::size_t h, std::size_t part) {
    return load_rows<kCount>(panel.scales[i] + h * kPanelRows + 4 * kCount * part);
  }
  PARING_INLINE auto min(std::size_t, std::size_t i, std::size_t h, std::size_t part) {
    return load_rows<kCount>(panel.mins[i] + h * kPanelRows + 4 * kCount * part);
  }
};

// products[t] += codes times the activations of quad kQuad of the four in x.
template <int kQuad, class Codes, int kCount, int kTokens>
PARING_INLINE void add_quad(const Codes& codes, const int8x16_t (&x)[kTokens],
                            RowsI32<kCount> (&products)[kTokens]) {
#pragma GCC unroll 8
  for (int t = 0; t < kTokens; ++t) {
#pragma GCC unroll 4
    for (int n = 0; n < kCount; ++n) {
      products[t].v[n] =
          vdotq_laneq_s32(products[t].v[n], vreinterpretq_s8_u8(codes.v[n]), x[t], kQuad);
    }
  }
}

// The products of columns [16 * half, 16 * half + 16) of group i.
template <int kCount, int kTokens, class Source, class Tokens>
PARING_INLINE void multiply_half(Source& source, std::size_t first, std::size_t i, std::size_t half,
                                 std::size_t part, const Tokens& tokens,
                                 RowsI32<kCount> (&products)[kTokens]) {
  int8x16_t x[kTokens];
#pragma GCC unroll 8
  for (std::size_t t = 0; t < kTokens; ++t) x[t] = vld1q_s8(tokens.codes_at(t, i) + 16 * half);
  add_quad<0>(source.codes(first, i, 4 * half, part), x, products);
  add_quad<1>(source.codes(first, i, 4 * half + 1, part), x, products);
  add_quad<2>(source.codes(first, i, 4 * half + 2, part), x, products);
  add_quad<3>(source.codes(first, i, 4 * half + 3, part), x, products);
}

// sums[t] with the products of a group added, in the order of ops.h.
template <TileTraits kTraits, int kCount, int kTokens, class Source, class Tokens>
PARING_INLINE void add_group(Source& source, std::size_t first, std::size_t i, std::size_t part,
                             const Tokens& x, RowsF32<kCount> (&sums)[kTokens]) {
  RowsF32<kCount> group[kTokens];
#pragma GCC unroll 2
  for (std::size_t h = 0; h < kTraits.halves; ++h) {
    RowsI32<kCount> products[kTokens];
#pragma GCC unroll 8
    for (std::size_t t = 0; t < kTokens; ++t) {
      const int32x4_t start = vdupq_n_s32(kTraits.has_mins ? 0 : x.starts[h][t][i]);
#pragma GCC unroll 4
      for (int n = 0; n < kCount; ++n) products[t].v[n] = start;
    }
    multiply_half(source, first, i, h, part, x, products);
    if constexpr (kTraits.halves == 1) multiply_half(source, first, i, 1, part, x, products);
    const RowsF32<kCount> scale = source.scale(first, i, h, part);
#pragma GCC unroll 8
    for (std::size_t t = 0; t < kTokens; ++t) {
#pragma GCC unroll 4
      for (int n = 0; n < kCount; ++n) {
        const float32x4_t product = vcvtq_f32_s32(products[t].v[n]);
        if constexpr (kTraits.halves == 1) {
          const float32x4_t factor = vmulq_n_f32(scale.v[n], x.scales[t][i]);
          sums[t].v[n] = vfmaq_f32(sums[t].v[n], factor, product);
        } else {
          group[t].v[n] = h == 0 ? vmulq_f32(scale.v[n], product)
                                 : vfmaq_f32(group[t].v[n], scale.v[n], product);
        }
      }
    }
  }
  if constexpr (kTraits.has_mins) {
#pragma GCC unroll 2
    for (std::size_t h = 0; h < kTraits.halves; ++h) {
      const RowsF32<kCount> min = source.min(first, i, h, part);
#pragma GCC unroll 8
      for (std::size_t t = 0; t < kTokens; ++t) {
        RowsF32<kCount>& target = kTraits.halves == 1 ? sums[t] : group[t];
#pragma GCC unroll 4
        for (int n = 0; n < kCount; ++n) {
          target.v[n] = vfmaq_n_f32(target.v[n], min.v[n], x.sums[h][t][i]);
        }
      }
    }
  }
  if constexpr (kTraits.halves == 2) {
#pragma GCC unroll 8
    for (std::size_t t = 0; t < kTokens; ++t) {
#pragma GCC unroll 4
      for (int n = 0; n < kCount; ++n) {
        sums[t].v[n] = vfmaq_n_f32(sums[t].v[n], group[t].v[n], x.scales[t][i]);
      }
    }
  }
}

// Rows [4 * kCount * part, 4 * kCount * (part + 1)) of a panel.
template <TileTraits kTraits, int kCount, int kTokens, class Tokens, class Source>
PARING_INLINE void tile_part(const TileJob& job, const Tokens& x, Source& source,
                             std::size_t matrix_rows, std::size_t panel_index, std::size_t part) {
  constexpr std::size_t kRows = 4 * kCount;
  const std::size_t first_row = panel_index * kPanelRows + kRows * part;
  if (first_row >= matrix_rows) return;
  const std::size_t rows_left = matrix_rows - first_row;
  const std::size_t rows = rows_left < kRows ? rows_left : kRows;
  float* y = job.y + first_row;
  RowsF32<kCount> sums[kTokens];
#pragma GCC unroll 8
  for (std::size_t t = 0; t < kTokens; ++t) {
    sums[t] = job.first_group == 0 ? part_of<kCount>(zero(), 0)
                                   : load_rows_first<kCount>(y + t * job.y_stride, rows);
  }
  for (std::size_t i = 0; i < job.groups; ++i) {
    source.start_group(job.first_group + i, part);
    add_group<kTraits>(source, job.first_group, i, part, x, sums);
  }
#pragma GCC unroll 8
  for (std::size_t t = 0; t < kTokens; ++t) store_rows_first(y + t * job.y_stride, sums[t], rows);
}

template <class Type, int kTokens>
PARING_NOINLINE void tile_stored(const TileJob& job, const StoredTokens& x, const PackedMatrix& w,
                                 std::size_t panel_index) {
  constexpr int kCount = row_registers(kTokens);
  StoredSource<Type, kCount> source;
  source.panel = panel_planes(w, panel_index);
  for (std::size_t part = 0; part < 4 / kCount; ++part) {
    tile_part<tile_traits<Type>(), kCount, kTokens>(job, x, source, w.rows, panel_index, part);
  }
}

template <TileTraits kTraits, int kTokens, int kPanels>
PARING_NOINLINE void tile_unpacked(const TileJob& job, const TileTokens& x,
                                   const UnpackedPanel& panel, std::size_t matrix_rows,
                                   std::size_t panel_index) {
  constexpr int kCount = row_registers(kTokens);
  UnpackedSource<kCount> source{panel};
  for (std::size_t part = 0; part < 4 / kCount; ++part) {
    tile_part<kTraits, kCount, kTokens>(job, x, source, matrix_rows, panel_index, part);
  }
}

}  // namespace
}  // namespace paring::kernels
