// SPDX-License-Identifier: Apache-2.0
// Rounding to bf16 (AVX512_BF16), beside the vectors of AVX-512: to nearest, ties to even,
// denormals to zero. Included by table.cc of levels with products in BF16 alone.
#pragma once

namespace paring::kernels {
namespace {

// The values of a, then of b.
PARING_INLINE void store_rounded(std::uint16_t* p, F32x16 a, F32x16 b) {
  _mm512_storeu_si512(p, (__m512i)_mm512_cvtne2ps_pbh(b.v, a.v));
}
// Value i of a beside value i of b.
PARING_INLINE void store_rounded_pairs(std::uint16_t* p, F32x16 a, F32x16 b) {
  const __m512i low = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(a.v));
  const __m512i high = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(b.v));
  _mm512_storeu_si512(p, _mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
}

}  // namespace
}  // namespace paring::kernels
