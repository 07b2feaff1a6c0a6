// SPDX-License-Identifier: Apache-2.0
// The vector vocabulary of the AVX-512 table: 16 floats, 16 doubles, 16 int32 and 64 bytes. The
// AVX2 folder has the same names, so that the algorithms in kernels/*-inl.h are written once and
// give the same bits on both. Included by table.cc alone; everything is always inlined.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace paring::kernels {
namespace {

#define PARING_INLINE [[gnu::always_inline]] inline
// Tiles stay functions of their own: merged into their callers by the dozen, they take the compiler
// minutes with a sanitizer.
#define PARING_NOINLINE [[gnu::noinline]]

// Asks for the line at `p`, which may lie past the end of a buffer. Not _mm_prefetch: GCC 12 takes
// that for code without effect and loses it where paths join.
PARING_INLINE void prefetch(const void* p) {
  asm volatile("prefetcht0 %0" : : "m"(*static_cast<const char*>(p)));
}

struct F32x16 {
  __m512 v;
};
struct F64x16 {
  __m512d lo, hi;
};
struct I32x16 {
  __m512i v;
};
// 16 rows of 4 bytes: one k-quad of a panel.
struct Quad {
  __m512i v;
};

// A byte of each row of a panel.
struct RowBytes {
  __m128i v;
};

// 16 lanes of two int16 side by side.
struct Pairs {
  __m512i v;
};

PARING_INLINE __mmask16 first_lanes(std::size_t count) {
  return static_cast<__mmask16>((1U << count) - 1);
}

PARING_INLINE F32x16 zero() { return {_mm512_setzero_ps()}; }
PARING_INLINE F32x16 broadcast(float x) { return {_mm512_set1_ps(x)}; }
PARING_INLINE F32x16 load(const float* p) { return {_mm512_loadu_ps(p)}; }
PARING_INLINE void store(float* p, F32x16 a) { _mm512_storeu_ps(p, a.v); }
// The first `count` (0..16) lanes; the others read as zero.
PARING_INLINE F32x16 load_first(const float* p, std::size_t count) {
  return {_mm512_maskz_loadu_ps(first_lanes(count), p)};
}
PARING_INLINE void store_first(float* p, F32x16 a, std::size_t count) {
  _mm512_mask_storeu_ps(p, first_lanes(count), a.v);
}
// Lanes 0..count-1 of a, the others of b.
PARING_INLINE F32x16 select_first(std::size_t count, F32x16 a, F32x16 b) {
  return {_mm512_mask_mov_ps(b.v, first_lanes(count), a.v)};
}
PARING_INLINE F32x16 load_f16(const std::uint16_t* p) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
PARING_INLINE void store_f16(std::uint16_t* p, F32x16 a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                      _mm512_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
PARING_INLINE F32x16 load_bf16(const std::uint16_t* p) {
  const __m256i half = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16))};
}
PARING_INLINE F32x16 load_s8(const std::int8_t* p) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return {_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes))};
}

PARING_INLINE F32x16 add(F32x16 a, F32x16 b) { return {_mm512_add_ps(a.v, b.v)}; }
PARING_INLINE F32x16 sub(F32x16 a, F32x16 b) { return {_mm512_sub_ps(a.v, b.v)}; }
PARING_INLINE F32x16 mul(F32x16 a, F32x16 b) { return {_mm512_mul_ps(a.v, b.v)}; }
PARING_INLINE F32x16 div(F32x16 a, F32x16 b) { return {_mm512_div_ps(a.v, b.v)}; }
PARING_INLINE F32x16 fma(F32x16 a, F32x16 b, F32x16 c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
// c - a * b
PARING_INLINE F32x16 fnma(F32x16 a, F32x16 b, F32x16 c) {
  return {_mm512_fnmadd_ps(a.v, b.v, c.v)};
}
// b where either is NaN, as the instructions do.
PARING_INLINE F32x16 max(F32x16 a, F32x16 b) { return {_mm512_max_ps(a.v, b.v)}; }
PARING_INLINE F32x16 min(F32x16 a, F32x16 b) { return {_mm512_min_ps(a.v, b.v)}; }
PARING_INLINE F32x16 abs(F32x16 a) { return {_mm512_abs_ps(a.v)}; }

PARING_INLINE __m256 fold(__m512 a, bool largest) {
  const __m256 lo = _mm512_castps512_ps256(a);
  const __m256 hi = _mm512_extractf32x8_ps(a, 1);
  return largest ? _mm256_max_ps(lo, hi) : _mm256_add_ps(lo, hi);
}
// A fixed tree: lanes i and i + 8, then 4, 2, 1.
PARING_INLINE float reduce_add(F32x16 a) {
  const __m256 b = fold(a.v, false);
  __m128 c = _mm_add_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
  c = _mm_add_ps(c, _mm_movehl_ps(c, c));
  return _mm_cvtss_f32(_mm_add_ss(c, _mm_shuffle_ps(c, c, 1)));
}
PARING_INLINE float reduce_max(F32x16 a) {
  const __m256 b = fold(a.v, true);
  __m128 c = _mm_max_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
  c = _mm_max_ps(c, _mm_movehl_ps(c, c));
  return _mm_cvtss_f32(_mm_max_ss(c, _mm_shuffle_ps(c, c, 1)));
}

PARING_INLINE I32x16 bits(F32x16 a) { return {_mm512_castps_si512(a.v)}; }
PARING_INLINE F32x16 from_bits(I32x16 a) { return {_mm512_castsi512_ps(a.v)}; }
PARING_INLINE I32x16 broadcast_i32(std::int32_t x) { return {_mm512_set1_epi32(x)}; }
PARING_INLINE I32x16 add(I32x16 a, I32x16 b) { return {_mm512_add_epi32(a.v, b.v)}; }
PARING_INLINE I32x16 sub(I32x16 a, I32x16 b) { return {_mm512_sub_epi32(a.v, b.v)}; }
template <int kBits>
PARING_INLINE I32x16 shift_left(I32x16 a) {
  return {_mm512_slli_epi32(a.v, kBits)};
}
template <int kBits>
PARING_INLINE I32x16 shift_right(I32x16 a) {  // arithmetic
  return {_mm512_srai_epi32(a.v, kBits)};
}
template <int kBits>
PARING_INLINE I32x16 shift_right_zero(I32x16 a) {
  return {_mm512_srli_epi32(a.v, kBits)};
}
PARING_INLINE F32x16 to_f32(I32x16 a) { return {_mm512_cvtepi32_ps(a.v)}; }
// Nearest, ties to even.
PARING_INLINE I32x16 round_i32(F32x16 a) { return {_mm512_cvtps_epi32(a.v)}; }
PARING_INLINE std::int32_t reduce_add(I32x16 a) { return _mm512_reduce_add_epi32(a.v); }
// The low byte of each lane.
PARING_INLINE void store_s8(std::int8_t* p, I32x16 a) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(a.v));
}

// The low half of each lane.
PARING_INLINE void store_s16(std::int16_t* p, I32x16 a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(a.v));
}

PARING_INLINE I32x16 zero_i32() { return {_mm512_setzero_si512()}; }
// 32 bytes, widened.
PARING_INLINE Pairs load_pairs(const std::int8_t* p) {
  return {_mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
PARING_INLINE Pairs load_pairs(const std::int16_t* p) { return {_mm512_loadu_si512(p)}; }
PARING_INLINE void store_pairs(std::int16_t* p, Pairs a) { _mm512_storeu_si512(p, a.v); }
// The low halves of the lanes of a, then of b.
PARING_INLINE Pairs low_halves(I32x16 a, I32x16 b) {
  return {_mm512_inserti64x4(_mm512_castsi256_si512(_mm512_cvtepi32_epi16(a.v)),
                             _mm512_cvtepi32_epi16(b.v), 1)};
}
// a * b / 2^15 of each int16, to nearest, halves up.
PARING_INLINE Pairs mul_fraction(Pairs a, Pairs b) { return {_mm512_mulhrs_epi16(a.v, b.v)}; }
// The two values at p, in every lane.
PARING_INLINE Pairs broadcast_pair(const std::int16_t* p) {
  std::int32_t both;
  __builtin_memcpy(&both, p, sizeof(both));
  return {_mm512_set1_epi32(both)};
}
// a[0] * b[0] + a[1] * b[1] + sum in each lane; REQUIRES: no overflow of int32.
PARING_INLINE I32x16 add_pair_products(Pairs a, Pairs b, I32x16 sum) {
  return {_mm512_dpwssd_epi32(sum.v, a.v, b.v)};
}

PARING_INLINE F64x16 zero_f64() { return {_mm512_setzero_pd(), _mm512_setzero_pd()}; }
PARING_INLINE F64x16 broadcast(double x) { return {_mm512_set1_pd(x), _mm512_set1_pd(x)}; }
PARING_INLINE F64x16 to_f64(F32x16 a) {
  return {_mm512_cvtps_pd(_mm512_castps512_ps256(a.v)),
          _mm512_cvtps_pd(_mm512_extractf32x8_ps(a.v, 1))};
}
PARING_INLINE F64x16 add(F64x16 a, F64x16 b) {
  return {_mm512_add_pd(a.lo, b.lo), _mm512_add_pd(a.hi, b.hi)};
}
PARING_INLINE F64x16 sub(F64x16 a, F64x16 b) {
  return {_mm512_sub_pd(a.lo, b.lo), _mm512_sub_pd(a.hi, b.hi)};
}
PARING_INLINE F64x16 mul(F64x16 a, F64x16 b) {
  return {_mm512_mul_pd(a.lo, b.lo), _mm512_mul_pd(a.hi, b.hi)};
}
PARING_INLINE F64x16 fma(F64x16 a, F64x16 b, F64x16 c) {
  return {_mm512_fmadd_pd(a.lo, b.lo, c.lo), _mm512_fmadd_pd(a.hi, b.hi, c.hi)};
}
PARING_INLINE F64x16 fnma(F64x16 a, F64x16 b, F64x16 c) {
  return {_mm512_fnmadd_pd(a.lo, b.lo, c.lo), _mm512_fnmadd_pd(a.hi, b.hi, c.hi)};
}
PARING_INLINE F64x16 max(F64x16 a, F64x16 b) {
  return {_mm512_max_pd(a.lo, b.lo), _mm512_max_pd(a.hi, b.hi)};
}
// 2^n for n in -1022..1023, given n + 1.5 * 2^52.
PARING_INLINE F64x16 power_of_two(F64x16 shifted) {
  const __m512i one = _mm512_castpd_si512(_mm512_set1_pd(1.0));
  const __m512i lo = _mm512_slli_epi64(_mm512_castpd_si512(shifted.lo), 52);
  const __m512i hi = _mm512_slli_epi64(_mm512_castpd_si512(shifted.hi), 52);
  return {_mm512_castsi512_pd(_mm512_add_epi64(lo, one)),
          _mm512_castsi512_pd(_mm512_add_epi64(hi, one))};
}
// A fixed tree: lanes i and i + 8, then 4, 2, 1.
PARING_INLINE double reduce_add(F64x16 a) {
  const __m512d b = _mm512_add_pd(a.lo, a.hi);
  const __m256d c = _mm256_add_pd(_mm512_castpd512_pd256(b), _mm512_extractf64x4_pd(b, 1));
  const __m128d d = _mm_add_pd(_mm256_castpd256_pd128(c), _mm256_extractf128_pd(c, 1));
  return _mm_cvtsd_f64(_mm_add_sd(d, _mm_unpackhi_pd(d, d)));
}

template <class V>
PARING_INLINE V load_vector(const void* p) {
  if constexpr (sizeof(V) == 16) {
    return {_mm_loadu_si128(static_cast<const __m128i*>(p))};
  } else {
    return {_mm512_loadu_si512(p)};
  }
}
PARING_INLINE void store_row_bytes(void* p, RowBytes a) {
  _mm_storeu_si128(static_cast<__m128i*>(p), a.v);
}
PARING_INLINE void store_quad(void* p, Quad a) { _mm512_storeu_si512(p, a.v); }
// Each byte shifted right by kShift (left, when negative) and masked; no bit may come from the
// neighbour.
template <int kShift, int kMask>
PARING_INLINE RowBytes bits_of(RowBytes a) {
  if constexpr (kShift > 0) a.v = _mm_srli_epi16(a.v, kShift);
  if constexpr (kShift < 0) a.v = _mm_slli_epi16(a.v, -kShift);
  return {_mm_and_si128(a.v, _mm_set1_epi8(kMask))};
}
template <int kShift, int kMask>
PARING_INLINE Quad bits_of(Quad a) {
  __m512i shifted = a.v;
  if constexpr (kShift > 0) shifted = _mm512_srli_epi16(a.v, kShift);
  if constexpr (kShift < 0) shifted = _mm512_slli_epi16(a.v, -kShift);
  return {_mm512_and_si512(shifted, _mm512_set1_epi8(kMask))};
}
PARING_INLINE RowBytes merge(RowBytes a, RowBytes b) { return {_mm_or_si128(a.v, b.v)}; }
PARING_INLINE Quad merge(Quad a, Quad b) { return {_mm512_or_si512(a.v, b.v)}; }
PARING_INLINE RowBytes add_bytes(RowBytes a, int x) {
  return {_mm_add_epi8(a.v, _mm_set1_epi8(static_cast<char>(x)))};
}
PARING_INLINE Quad add_bytes(Quad a, int x) {
  return {_mm512_add_epi8(a.v, _mm512_set1_epi8(static_cast<char>(x)))};
}
// Adds kValue to the bytes whose bit is set in the word at `bits`: bit 4r + b for byte b of row r.
template <int kValue>
PARING_INLINE Quad add_where(Quad a, const std::uint8_t* bits) {
  std::uint64_t word;
  __builtin_memcpy(&word, bits, sizeof(word));
  return {_mm512_mask_add_epi8(a.v, _cvtu64_mask64(word), a.v, _mm512_set1_epi8(kValue))};
}
// Values of the codebook of IQ4_NL and IQ4_XS for codes 0..15.
PARING_INLINE Quad codebook_values(Quad codes) {
  const __m128i values = _mm_setr_epi8(-127, -104, -83, -65, -49, -35, -22, -10,  //
                                       1, 13, 25, 38, 53, 69, 89, 113);
  return {_mm512_shuffle_epi8(_mm512_broadcast_i32x4(values), codes.v)};
}
PARING_INLINE I32x16 as_i32(Quad a) { return {a.v}; }

// Largest float tile that the registers hold: 24 accumulators, two weight vectors, one broadcast.
inline constexpr int kFloatTileVectors = 24;
inline constexpr int kFloatTileRows = 12;
inline constexpr int kFloatTileColumnsMax = 4;

// Rows and vectors of a tile of integer attention: 12 sums, and as many in f32 for scores.
inline constexpr int kPairTileRows = 6;
inline constexpr int kPairTileColumns = 2;

}  // namespace
}  // namespace paring::kernels
