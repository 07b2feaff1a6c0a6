// SPDX-License-Identifier: Apache-2.0
// matmul_q on AVX-512 VNNI. A group of a panel is 8 vectors of 16 rows x 4 k, held in registers for
// a tile of tokens; each token adds 8 vpdpbusd whose activation operand is a 4-byte broadcast from
// memory. vpdpbusd multiplies unsigned by signed bytes: codes are made unsigned, and the integer
// sum starts at -zero * (sum of the activation codes), which is exact. Largest sum: 32 * 255 * 127
// < 2^21. Included by table.cc alone.
#pragma once

namespace paring::kernels {
namespace {

PARING_INLINE __m512i broadcast_4_bytes(const std::int8_t* p) {
  std::int32_t bytes;
  __builtin_memcpy(&bytes, p, sizeof(bytes));
  return _mm512_set1_epi32(bytes);
}

// One group of a panel, unpacked in registers.
template <TileTraits kTraits>
struct GroupWeights {
  Quad quads[8];
  F32x16 scales[kTraits.halves];
  F32x16 mins[kTraits.halves];
};

// A panel as stored.
template <class Type>
struct StoredSource {
  PanelPlanes panel;
  SubScales subs;

  PARING_INLINE void load_weights(std::size_t first, std::size_t i,
                                  GroupWeights<tile_traits<Type>()>& weights) {
    const std::size_t g = first + i;
    if (g % kSuperGroups == 0) unpack_subs<Type>(panel, g / kSuperGroups, subs);
    prefetch_group<Type>(panel, g);
#pragma GCC unroll 8
    for (std::size_t j = 0; j < 8; ++j) {
      weights.quads[j] = load_codes<Type, Quad>(panel, g, j);
      if constexpr (Type::kIsSigned) weights.quads[j] = add_bytes(weights.quads[j], kSignedOffset);
    }
#pragma GCC unroll 2
    for (std::size_t h = 0; h < Type::kHalves; ++h) {
      weights.scales[h] = load_scale<Type>(panel, g, h, subs);
      weights.mins[h] = load_min<Type>(panel, g, h, subs);
    }
  }
};

// The same, unpacked before.
template <TileTraits kTraits>
struct UnpackedSource {
  UnpackedPanel panel;

  PARING_INLINE void load_weights(std::size_t, std::size_t i, GroupWeights<kTraits>& weights) {
#pragma GCC unroll 8
    for (std::size_t j = 0; j < 8; ++j) {
      weights.quads[j] = load_vector<Quad>(panel.codes[i] + 64 * j);
    }
#pragma GCC unroll 2
    for (std::size_t h = 0; h < kTraits.halves; ++h) {
      weights.scales[h] = load(panel.scales[i] + h * kPanelRows);
      if constexpr (kTraits.has_mins) weights.mins[h] = load(panel.mins[i] + h * kPanelRows);
    }
  }
};

// products += sum over quads [first, first + kCount) of code * activation, for each panel.
template <std::size_t kCount, TileTraits kTraits, int kPanels>
PARING_INLINE void dot(const GroupWeights<kTraits> (&weights)[kPanels], std::size_t first,
                       const std::int8_t* codes, __m512i (&products)[kPanels]) {
#pragma GCC unroll 8
  for (std::size_t j = first; j < first + kCount; ++j) {
    const __m512i four = broadcast_4_bytes(codes + 4 * j);
#pragma GCC unroll 2
    for (std::size_t p = 0; p < kPanels; ++p) {
      products[p] = _mm512_dpbusd_epi32(products[p], weights[p].quads[j].v, four);
    }
  }
}

// `sums` with one token's products of a group added, in the order of ops.h.
template <TileTraits kTraits, int kPanels, class Tokens>
PARING_INLINE void add_group(const GroupWeights<kTraits> (&weights)[kPanels], const Tokens& x,
                             std::size_t t, std::size_t i, F32x16 (&sums)[kPanels]) {
  const std::int8_t* codes = x.codes_at(t, i);
  const F32x16 x_scale = broadcast(x.scales[t][i]);
  F32x16 group[kPanels];
#pragma GCC unroll 2
  for (std::size_t h = 0; h < kTraits.halves; ++h) {
    const __m512i start =
        kTraits.has_mins ? _mm512_setzero_si512() : _mm512_set1_epi32(x.starts[h][t][i]);
    __m512i products[kPanels];
#pragma GCC unroll 2
    for (__m512i& each : products) each = start;
    dot<8 / kTraits.halves>(weights, 4 * h, codes, products);
#pragma GCC unroll 2
    for (std::size_t p = 0; p < kPanels; ++p) {
      const F32x16 product = to_f32(I32x16{products[p]});
      if constexpr (kTraits.halves == 1) {
        sums[p] = fma(mul(x_scale, weights[p].scales[0]), product, sums[p]);
      } else {
        group[p] = h == 0 ? mul(weights[p].scales[0], product)
                          : fma(weights[p].scales[h], product, group[p]);
      }
    }
  }
#pragma GCC unroll 2
  for (std::size_t p = 0; p < kPanels; ++p) {
    if constexpr (kTraits.halves == 1) {
      if constexpr (kTraits.has_mins) {
        sums[p] = fma(weights[p].mins[0], broadcast(x.sums[0][t][i]), sums[p]);
      }
    } else {
      if constexpr (kTraits.has_mins) {
        group[p] = fma(weights[p].mins[0], broadcast(x.sums[0][t][i]), group[p]);
        group[p] = fma(weights[p].mins[1], broadcast(x.sums[1][t][i]), group[p]);
      }
      sums[p] = fma(x_scale, group[p], sums[p]);
    }
  }
}

// `sources` of kPanels panels, the first of them panel_index.
template <TileTraits kTraits, int kTokens, int kPanels, class Tokens, class Source>
PARING_INLINE void tile(const TileJob& job, const Tokens& x, Source (&sources)[kPanels],
                        std::size_t matrix_rows, std::size_t panel_index) {
  std::size_t rows[kPanels];
  F32x16 sums[kTokens][kPanels];
  float* y = job.y + panel_index * kPanelRows;
#pragma GCC unroll 2
  for (std::size_t p = 0; p < kPanels; ++p) {
    const std::size_t left = matrix_rows - (panel_index + p) * kPanelRows;
    rows[p] = left < kPanelRows ? left : kPanelRows;
#pragma GCC unroll 16
    for (std::size_t t = 0; t < kTokens; ++t) {
      const float* from = y + t * job.y_stride + p * kPanelRows;
      sums[t][p] = job.first_group == 0 ? zero() : load_first(from, rows[p]);
    }
  }
  for (std::size_t i = 0; i < job.groups; ++i) {
    GroupWeights<kTraits> weights[kPanels];
#pragma GCC unroll 2
    for (std::size_t p = 0; p < kPanels; ++p) {
      sources[p].load_weights(job.first_group, i, weights[p]);
    }
#pragma GCC unroll 16
    for (std::size_t t = 0; t < kTokens; ++t) add_group(weights, x, t, i, sums[t]);
  }
#pragma GCC unroll 2
  for (std::size_t p = 0; p < kPanels; ++p) {
#pragma GCC unroll 16
    for (std::size_t t = 0; t < kTokens; ++t) {
      store_first(y + t * job.y_stride + p * kPanelRows, sums[t][p], rows[p]);
    }
  }
}

template <class Type, int kTokens>
PARING_NOINLINE void tile_stored(const TileJob& job, const StoredTokens& x, const PackedMatrix& w,
                                 std::size_t panel_index) {
  StoredSource<Type> sources[1];
  sources[0].panel = panel_planes(w, panel_index);
  tile<tile_traits<Type>(), kTokens>(job, x, sources, w.rows, panel_index);
}

template <TileTraits kTraits, int kTokens, int kPanels>
PARING_NOINLINE void tile_unpacked(const TileJob& job, const TileTokens& x,
                                   const UnpackedPanel& panel, std::size_t matrix_rows,
                                   std::size_t panel_index) {
  UnpackedSource<kTraits> sources[kPanels];
  for (std::size_t p = 0; p < kPanels; ++p) {
    const std::size_t group = p * job.groups;
    sources[p].panel = {panel.codes + group, panel.scales + group, panel.mins + group};
  }
  tile<kTraits, kTokens>(job, x, sources, matrix_rows, panel_index);
}

}  // namespace
}  // namespace paring::kernels
