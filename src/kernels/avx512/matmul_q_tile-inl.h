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
  const UnpackedPanel& panel;
  const TileJob<kQuantizedTileTokens>& job;

  PARING_INLINE void load_weights(std::size_t, std::size_t i, GroupWeights<kTraits>& weights) {
    prefetch_next(job, i);
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

// sum over quads [4 * half, 4 * half + count) of code * activation, from `products` on.
template <std::size_t kCount>
PARING_INLINE __m512i dot(const Quad (&quads)[8], std::size_t first, const std::int8_t* codes,
                          __m512i products) {
#pragma GCC unroll 8
  for (std::size_t j = first; j < first + kCount; ++j) {
    products = _mm512_dpbusd_epi32(products, quads[j].v, broadcast_4_bytes(codes + 4 * j));
  }
  return products;
}

// `sum` with one token's products of a group added, in the order of ops.h.
template <TileTraits kTraits, class Factors>
PARING_INLINE F32x16 add_group(const GroupWeights<kTraits>& weights, const std::int8_t* codes,
                               const Factors& factors, std::size_t t, F32x16 sum) {
  const F32x16 x_scale = broadcast(factors.scales[t]);
  __m512i products[kTraits.halves];
#pragma GCC unroll 2
  for (std::size_t h = 0; h < kTraits.halves; ++h) {
    products[h] =
        kTraits.has_mins ? _mm512_setzero_si512() : _mm512_set1_epi32(factors.starts[h][t]);
    products[h] = dot<8 / kTraits.halves>(weights.quads, 4 * h, codes, products[h]);
  }
  const F32x16 first = to_f32(I32x16{products[0]});
  if constexpr (kTraits.halves == 1) {
    sum = fma(mul(x_scale, weights.scales[0]), first, sum);
    if constexpr (kTraits.has_mins) {
      sum = fma(weights.mins[0], broadcast(factors.sums[0][t]), sum);
    }
    return sum;
  } else {
    F32x16 group = mul(weights.scales[0], first);
    group = fma(weights.scales[1], to_f32(I32x16{products[1]}), group);
    if constexpr (kTraits.has_mins) {
      group = fma(weights.mins[0], broadcast(factors.sums[0][t]), group);
      group = fma(weights.mins[1], broadcast(factors.sums[1][t]), group);
    }
    return fma(x_scale, group, sum);
  }
}

template <TileTraits kTraits, int kTokens, class Source, std::size_t kTokensMax>
PARING_INLINE void tile(const TileJob<kTokensMax>& job, Source& source, std::size_t matrix_rows,
                        std::size_t panel_index) {
  const std::size_t first_row = panel_index * kPanelRows;
  const std::size_t rows_left = matrix_rows - first_row;
  const std::size_t rows = rows_left < kPanelRows ? rows_left : kPanelRows;
  F32x16 sums[kTokens];
#pragma GCC unroll 16
  for (std::size_t t = 0; t < kTokens; ++t) {
    const float* y = job.y + t * job.y_stride + first_row;
    sums[t] = job.first_group == 0 ? zero() : load_first(y, rows);
  }
  for (std::size_t i = 0; i < job.groups; ++i) {
    GroupWeights<kTraits> weights;
    source.load_weights(job.first_group, i, weights);
#pragma GCC unroll 16
    for (std::size_t t = 0; t < kTokens; ++t) {
      const std::int8_t* codes = job.codes + t * job.codes_stride + i * kGroupValues;
      sums[t] = add_group<kTraits>(weights, codes, job.factors[i], t, sums[t]);
    }
  }
#pragma GCC unroll 16
  for (std::size_t t = 0; t < kTokens; ++t) {
    store_first(job.y + t * job.y_stride + first_row, sums[t], rows);
  }
}

template <class Type, int kTokens>
PARING_NOINLINE void tile_stored(const TileJob<kStoredTokens>& job, const PackedMatrix& w,
                                 std::size_t panel_index) {
  StoredSource<Type> source;
  source.panel = panel_planes(w, panel_index);
  tile<tile_traits<Type>(), kTokens>(job, source, w.rows, panel_index);
}

template <TileTraits kTraits, int kTokens>
PARING_NOINLINE void tile_unpacked(const TileJob<kQuantizedTileTokens>& job,
                                   const UnpackedPanel& panel, std::size_t matrix_rows,
                                   std::size_t panel_index) {
  UnpackedSource<kTraits> source{panel, job};
  tile<kTraits, kTokens>(job, source, matrix_rows, panel_index);
}

}  // namespace
}  // namespace paring::kernels
