// SPDX-License-Identifier: Apache-2.0
// matmul_q on AVX2: vpmaddubsw multiplies unsigned by signed bytes and adds pairs in int16, without
// VNNI's widening. Half a panel (8 rows) x up to 6 tokens at a time. A pair of codes of b bits is
// at most 2 * (2^b - 1) * 127, so that an int16 holds the sum of
//   5 bits or less  4 pairs (31,496)
//   6 bits          2 pairs (32,004)
//   signed          1 pair: |value| times the activation with the value's sign, 2 * 128 * 127
// 8 pairs of 4-bit codes would fit as well; the longer chains of sums are slower by a sixth (Zen
// 5). The int32 sum starts at -zero * (sum of the activation codes), which is exact. Included by
// table.cc alone.
#pragma once

namespace paring::kernels {
namespace {

PARING_INLINE __m256i broadcast_4_bytes(const std::int8_t* p) {
  std::int32_t bytes;
  __builtin_memcpy(&bytes, p, sizeof(bytes));
  return _mm256_set1_epi32(bytes);
}

PARING_INLINE __m256i widen_add(__m256i sums, __m256i pairs) {
  return _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

// f16 entries times sub-scales of 8 rows.
PARING_INLINE __m256 half_of_scales(const std::uint16_t* scales) {
  return _mm256_cvtph_ps(load_128(scales));
}
PARING_INLINE __m256 half_of_subs(const std::int8_t* subs) {
  const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(subs));
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
}

// Rows 8 * half.. of a panel as stored.
template <class Type>
struct StoredSource {
  PanelPlanes panel;
  SubScales subs;

  PARING_INLINE void start_group(std::size_t g, std::size_t half) {
    if (g % kSuperGroups == 0) unpack_subs<Type>(panel, g / kSuperGroups, subs);
    if (half == 0) prefetch_group<Type>(panel, g);
  }
  PARING_INLINE __m256i codes(std::size_t first, std::size_t i, std::size_t j, std::size_t half) {
    return load_codes<Type, HalfQuad>(panel, first + i, j, half).v;
  }
  PARING_INLINE __m256 scale(std::size_t first, std::size_t i, std::size_t h, std::size_t half) {
    const std::size_t g = first + i;
    const std::size_t entry = g / Type::kScaleGroups * kPanelRows + 8 * half;
    const __m256 scale = half_of_scales(panel.scales + entry);
    if constexpr (Type::kSubs == Subs::kNone) return scale;
    const std::size_t sub = g % kSuperGroups * Type::kHalves + h;
    return _mm256_mul_ps(scale, half_of_subs(subs.scales + sub * kPanelRows + 8 * half));
  }
  PARING_INLINE __m256 min(std::size_t first, std::size_t i, std::size_t h, std::size_t half) {
    const std::size_t g = first + i;
    const std::size_t entry = g / Type::kScaleGroups * kPanelRows + 8 * half;
    const __m256 min = half_of_scales(panel.mins + entry);
    if constexpr (Type::kSubs == Subs::kNone) return min;
    const std::size_t sub = g % kSuperGroups * Type::kHalves + h;
    const __m256 product =
        _mm256_mul_ps(min, half_of_subs(subs.mins + sub * kPanelRows + 8 * half));
    return _mm256_sub_ps(_mm256_setzero_ps(), product);
  }
};

// The same, unpacked before.
struct UnpackedSource {
  const UnpackedPanel& panel;

  PARING_INLINE void start_group(std::size_t, std::size_t) {}
  PARING_INLINE __m256i codes(std::size_t, std::size_t i, std::size_t j, std::size_t half) {
    return load_256(panel.codes[i] + 64 * j + 32 * half);
  }
  PARING_INLINE __m256 scale(std::size_t, std::size_t i, std::size_t h, std::size_t half) {
    return _mm256_load_ps(panel.scales[i] + h * kPanelRows + 8 * half);
  }
  PARING_INLINE __m256 min(std::size_t, std::size_t i, std::size_t h, std::size_t half) {
    return _mm256_load_ps(panel.mins[i] + h * kPanelRows + 8 * half);
  }
};

// Pairs of quads whose int16 sums may be added before they are widened.
constexpr std::size_t pairs_before_widening(TileTraits traits) {
  const std::size_t fits = traits.bits <= 5 ? 2 : 1;
  const std::size_t pairs = 4 / traits.halves;
  return fits < pairs ? fits : pairs;
}

// products[t] += sum over the pairs of quads [first_pair, first_pair + count) of code * activation.
template <TileTraits kTraits, int kTokens, class Source, class Tokens>
PARING_INLINE void multiply_pairs(Source& source, std::size_t first, std::size_t i,
                                  std::size_t half, std::size_t first_pair, const Tokens& x,
                                  __m256i (&products)[kTokens]) {
  constexpr std::size_t kRun = pairs_before_widening(kTraits);
  __m256i pairs[kTokens];
#pragma GCC unroll 4
  for (std::size_t j = first_pair; j < first_pair + 4 / kTraits.halves; ++j) {
    const __m256i even = source.codes(first, i, 2 * j, half);
    const __m256i odd = source.codes(first, i, 2 * j + 1, half);
    if constexpr (kTraits.bits == 8) {
      const __m256i even_size = _mm256_abs_epi8(even);
      const __m256i odd_size = _mm256_abs_epi8(odd);
#pragma GCC unroll 8
      for (std::size_t t = 0; t < kTokens; ++t) {
        const std::int8_t* codes = x.codes_at(t, i) + 8 * j;
        const __m256i a = _mm256_sign_epi8(broadcast_4_bytes(codes), even);
        const __m256i b = _mm256_sign_epi8(broadcast_4_bytes(codes + 4), odd);
        products[t] = widen_add(products[t], _mm256_maddubs_epi16(even_size, a));
        products[t] = widen_add(products[t], _mm256_maddubs_epi16(odd_size, b));
      }
      continue;
    }
#pragma GCC unroll 8
    for (std::size_t t = 0; t < kTokens; ++t) {
      const std::int8_t* codes = x.codes_at(t, i) + 8 * j;
      const __m256i a = _mm256_maddubs_epi16(even, broadcast_4_bytes(codes));
      const __m256i b = _mm256_maddubs_epi16(odd, broadcast_4_bytes(codes + 4));
      pairs[t] = j % kRun == 0 ? a : _mm256_add_epi16(pairs[t], a);
      pairs[t] = _mm256_add_epi16(pairs[t], b);
      if (j % kRun == kRun - 1) products[t] = widen_add(products[t], pairs[t]);
    }
  }
}

// sums[t] with the products of a group added, in the order of ops.h.
template <TileTraits kTraits, int kTokens, class Source, class Tokens>
PARING_INLINE void add_group(Source& source, std::size_t first, std::size_t i, std::size_t half,
                             const Tokens& x, __m256 (&sums)[kTokens]) {
  __m256 group[kTokens];
#pragma GCC unroll 2
  for (std::size_t h = 0; h < kTraits.halves; ++h) {
    __m256i products[kTokens];
#pragma GCC unroll 8
    for (std::size_t t = 0; t < kTokens; ++t) {
      const bool has_start = !kTraits.has_mins && kTraits.bits != 8;
      products[t] = has_start ? _mm256_set1_epi32(x.starts[h][t][i]) : _mm256_setzero_si256();
    }
    multiply_pairs<kTraits, kTokens>(source, first, i, half, h * 2, x, products);
    const __m256 scale = source.scale(first, i, h, half);
#pragma GCC unroll 8
    for (std::size_t t = 0; t < kTokens; ++t) {
      const __m256 sum = _mm256_cvtepi32_ps(products[t]);
      if constexpr (kTraits.halves == 1) {
        const __m256 factor = _mm256_mul_ps(_mm256_set1_ps(x.scales[t][i]), scale);
        sums[t] = _mm256_fmadd_ps(factor, sum, sums[t]);
      } else {
        group[t] = h == 0 ? _mm256_mul_ps(scale, sum) : _mm256_fmadd_ps(scale, sum, group[t]);
      }
    }
  }
  if constexpr (kTraits.has_mins) {
#pragma GCC unroll 2
    for (std::size_t h = 0; h < kTraits.halves; ++h) {
      const __m256 min = source.min(first, i, h, half);
#pragma GCC unroll 8
      for (std::size_t t = 0; t < kTokens; ++t) {
        __m256& target = kTraits.halves == 1 ? sums[t] : group[t];
        target = _mm256_fmadd_ps(min, _mm256_set1_ps(x.sums[h][t][i]), target);
      }
    }
  }
  if constexpr (kTraits.halves == 2) {
#pragma GCC unroll 8
    for (std::size_t t = 0; t < kTokens; ++t) {
      sums[t] = _mm256_fmadd_ps(_mm256_set1_ps(x.scales[t][i]), group[t], sums[t]);
    }
  }
}

template <TileTraits kTraits, int kTokens, class Tokens, class Source>
PARING_INLINE void tile_half_panel(const TileJob& job, const Tokens& x, Source& source,
                                   std::size_t matrix_rows, std::size_t panel_index,
                                   std::size_t half) {
  const std::size_t first_row = panel_index * kPanelRows + 8 * half;
  if (first_row >= matrix_rows) return;
  const std::size_t rows_left = matrix_rows - first_row;
  const __m256i valid = first_lanes(rows_left < 8 ? rows_left : 8).lo;
  __m256 sums[kTokens];
#pragma GCC unroll 8
  for (std::size_t t = 0; t < kTokens; ++t) {
    const float* y = job.y + t * job.y_stride + first_row;
    sums[t] = job.first_group == 0 ? _mm256_setzero_ps() : _mm256_maskload_ps(y, valid);
  }
  for (std::size_t i = 0; i < job.groups; ++i) {
    source.start_group(job.first_group + i, half);
    add_group<kTraits, kTokens>(source, job.first_group, i, half, x, sums);
  }
#pragma GCC unroll 8
  for (std::size_t t = 0; t < kTokens; ++t) {
    _mm256_maskstore_ps(job.y + t * job.y_stride + first_row, valid, sums[t]);
  }
}

template <class Type, int kTokens>
PARING_NOINLINE void tile_stored(const TileJob& job, const StoredTokens& x, const PackedMatrix& w,
                                 std::size_t panel_index) {
  StoredSource<Type> source;
  source.panel = panel_planes(w, panel_index);
  for (std::size_t half = 0; half < 2; ++half) {
    tile_half_panel<tile_traits<Type>(), kTokens>(job, x, source, w.rows, panel_index, half);
  }
}

template <TileTraits kTraits, int kTokens, int kPanels>
PARING_NOINLINE void tile_unpacked(const TileJob& job, const TileTokens& x,
                                   const UnpackedPanel& panel, std::size_t matrix_rows,
                                   std::size_t panel_index) {
  UnpackedSource source{panel};
  for (std::size_t half = 0; half < 2; ++half) {
    tile_half_panel<kTraits, kTokens>(job, x, source, matrix_rows, panel_index, half);
  }
}

}  // namespace
}  // namespace paring::kernels
