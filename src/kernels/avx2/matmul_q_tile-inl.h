// SPDX-License-Identifier: Apache-2.0
// matmul_q on AVX2: vpmaddubsw multiplies unsigned by signed bytes and adds pairs in int16, without
// VNNI's widening. Half a panel (8 rows) x up to 6 tokens at a time. Included by table.cc alone.
//   4 bits  codes 0..15: a pair is at most 2 * 15 * 127, 8 pairs (a group) at most 30,480 < 2^15
//   5 bits  codes 0..31: 4 pairs at most 31,496, so a group is widened in two halves
//   8 bits  |code| times the activation with the code's sign: a pair is at most 2 * 128 * 127 =
//           32,512, widened at once
// The int32 sum starts at -zero * (sum of the activation codes), which is exact.
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

// products[t] += sum over group `g` of code * activation for rows 8*half.. of the panel, codes with
// their zero point. `codes` points at the group's activations of the first token.
template <class Type, int kTokens>
PARING_INLINE void group_products(const PanelPlanes& panel, std::size_t g, std::size_t half,
                                  const std::int8_t* codes, std::size_t codes_stride,
                                  __m256i (&products)[kTokens]) {
  const std::uint8_t* source = panel.codes + g * Type::kGroupBytes + 32 * half;
  if constexpr (Type::kGroupBytes == 512) {
#pragma GCC unroll 8
    for (std::size_t j = 0; j < 8; ++j) {
      const __m256i weights = load_256(source + 64 * j);
      const __m256i magnitudes = _mm256_abs_epi8(weights);
#pragma GCC unroll 8
      for (std::size_t t = 0; t < kTokens; ++t) {
        const __m256i x = broadcast_4_bytes(codes + t * codes_stride + 4 * j);
        const __m256i pairs = _mm256_maddubs_epi16(magnitudes, _mm256_sign_epi8(x, weights));
        products[t] = widen_add(products[t], pairs);
      }
    }
    return;
  }
  __m256i pairs[kTokens];
#pragma GCC unroll 4
  for (std::size_t j = 0; j < 4; ++j) {
    const __m256i both = load_256(source + 64 * j);
    __m256i even = low_nibbles(both);
    __m256i odd = low_nibbles(_mm256_srli_epi16(both, 4));
    if constexpr (Type::kHasHigh) {
      const std::uint64_t* words = panel.high + g * 8 + 2 * j;
      even = _mm256_or_si256(even, fifth_bits(static_cast<std::uint32_t>(words[0] >> 32 * half)));
      odd = _mm256_or_si256(odd, fifth_bits(static_cast<std::uint32_t>(words[1] >> 32 * half)));
    }
#pragma GCC unroll 8
    for (std::size_t t = 0; t < kTokens; ++t) {
      const std::int8_t* x = codes + t * codes_stride + 8 * j;
      const __m256i first = _mm256_maddubs_epi16(even, broadcast_4_bytes(x));
      const __m256i second = _mm256_maddubs_epi16(odd, broadcast_4_bytes(x + 4));
      const bool starts = j == 0 || (Type::kHasHigh && j == 2);
      pairs[t] = starts ? first : _mm256_add_epi16(pairs[t], first);
      pairs[t] = _mm256_add_epi16(pairs[t], second);
      const bool ends = j == 3 || (Type::kHasHigh && j == 1);
      if (ends) products[t] = widen_add(products[t], pairs[t]);
    }
  }
}

template <class Type, int kTokens>
PARING_INLINE void tile_half_panel(const TileJob& job, const PackedMatrix& w,
                                   std::size_t panel_index, std::size_t half) {
  const PanelPlanes panel = panel_planes(w, panel_index);
  const std::size_t first_row = panel_index * kPanelRows + 8 * half;
  if (first_row >= w.rows) return;
  const __m256i valid = first_lanes(w.rows - first_row < 8 ? w.rows - first_row : 8).lo;
  __m256 sums[kTokens];
#pragma GCC unroll 8
  for (std::size_t t = 0; t < kTokens; ++t) {
    const float* y = job.y + t * job.y_stride + first_row;
    sums[t] = job.first_group == 0 ? _mm256_setzero_ps() : _mm256_maskload_ps(y, valid);
  }
  for (std::size_t i = 0; i < job.groups; ++i) {
    const std::size_t g = job.first_group + i;
    const GroupFactors& factors = job.factors[i];
    if (half == 0) prefetch_group<Type, kTokens>(panel, g);
    __m256i products[kTokens];
#pragma GCC unroll 8
    for (int t = 0; t < kTokens; ++t) {
      products[t] =
          zero_point<Type>() == 0 ? _mm256_setzero_si256() : _mm256_set1_epi32(factors.starts[t]);
    }
    group_products<Type, kTokens>(panel, g, half, job.codes + i * kGroupValues, job.codes_stride,
                                  products);
    const std::size_t plane = g * kPanelRows + 8 * half;
    const __m256 scale = _mm256_cvtph_ps(load_128(panel.scales + plane));
    __m256 min = _mm256_setzero_ps();
    if constexpr (Type::kHasMins) min = _mm256_cvtph_ps(load_128(panel.mins + plane));
#pragma GCC unroll 8
    for (std::size_t t = 0; t < kTokens; ++t) {
      const __m256 factor = _mm256_mul_ps(_mm256_set1_ps(factors.scales[t]), scale);
      sums[t] = _mm256_fmadd_ps(factor, _mm256_cvtepi32_ps(products[t]), sums[t]);
      if constexpr (Type::kHasMins) {
        sums[t] = _mm256_fmadd_ps(min, _mm256_set1_ps(factors.value_sums[t]), sums[t]);
      }
    }
  }
#pragma GCC unroll 8
  for (std::size_t t = 0; t < kTokens; ++t) {
    _mm256_maskstore_ps(job.y + t * job.y_stride + first_row, valid, sums[t]);
  }
}

template <class Type, int kTokens>
PARING_NOINLINE void tile_panel(const TileJob& job, const PackedMatrix& w,
                                std::size_t panel_index) {
  tile_half_panel<Type, kTokens>(job, w, panel_index, 0);
  tile_half_panel<Type, kTokens>(job, w, panel_index, 1);
}

}  // namespace
}  // namespace paring::kernels
