// SPDX-License-Identifier: Apache-2.0
// The vector vocabulary of the AVX2 table: the names of avx512/vec-inl.h over pairs of 256-bit
// registers (four for doubles), lane for lane the same results. Included by table.cc alone.
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
  __m256 lo, hi;
};
struct F64x16 {
  __m256d v[4];
};
struct I32x16 {
  __m256i lo, hi;
};
// 16 rows of 4 bytes: one k-quad of a panel.
struct Quad {
  __m256i lo, hi;
};
// 8 of them.
struct HalfQuad {
  __m256i v;
};
// A byte of each row of a panel.
struct RowBytes {
  __m128i v;
};

// 16 lanes of two int16 side by side.
struct Pairs {
  __m256i lo, hi;
};

PARING_INLINE F32x16 zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
PARING_INLINE F32x16 broadcast(float x) {
  const __m256 v = _mm256_set1_ps(x);
  return {v, v};
}
PARING_INLINE F32x16 load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
PARING_INLINE void store(float* p, F32x16 a) {
  _mm256_storeu_ps(p, a.lo);
  _mm256_storeu_ps(p + 8, a.hi);
}
// All ones in the first `count` (0..16) lanes.
PARING_INLINE I32x16 first_lanes(std::size_t count) {
  const __m256i limit = _mm256_set1_epi32(static_cast<int>(count));
  const __m256i lo = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  const __m256i hi = _mm256_setr_epi32(8, 9, 10, 11, 12, 13, 14, 15);
  return {_mm256_cmpgt_epi32(limit, lo), _mm256_cmpgt_epi32(limit, hi)};
}
// The first `count` (0..16) lanes; the others read as zero.
PARING_INLINE F32x16 load_first(const float* p, std::size_t count) {
  const I32x16 mask = first_lanes(count);
  return {_mm256_maskload_ps(p, mask.lo), _mm256_maskload_ps(p + 8, mask.hi)};
}
PARING_INLINE void store_first(float* p, F32x16 a, std::size_t count) {
  const I32x16 mask = first_lanes(count);
  _mm256_maskstore_ps(p, mask.lo, a.lo);
  _mm256_maskstore_ps(p + 8, mask.hi, a.hi);
}
// Lanes 0..count-1 of a, the others of b.
PARING_INLINE F32x16 select_first(std::size_t count, F32x16 a, F32x16 b) {
  const I32x16 mask = first_lanes(count);
  return {_mm256_blendv_ps(b.lo, a.lo, _mm256_castsi256_ps(mask.lo)),
          _mm256_blendv_ps(b.hi, a.hi, _mm256_castsi256_ps(mask.hi))};
}
PARING_INLINE __m128i load_128(const void* p) {
  return _mm_loadu_si128(static_cast<const __m128i*>(p));
}
PARING_INLINE F32x16 load_f16(const std::uint16_t* p) {
  return {_mm256_cvtph_ps(load_128(p)), _mm256_cvtph_ps(load_128(p + 8))};
}
PARING_INLINE void store_f16(std::uint16_t* p, F32x16 a) {
  auto* target = reinterpret_cast<__m128i*>(p);
  _mm_storeu_si128(target, _mm256_cvtps_ph(a.lo, _MM_FROUND_TO_NEAREST_INT));
  _mm_storeu_si128(target + 1, _mm256_cvtps_ph(a.hi, _MM_FROUND_TO_NEAREST_INT));
}
PARING_INLINE __m256 widen_bf16(__m128i a) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(a), 16));
}
PARING_INLINE F32x16 load_bf16(const std::uint16_t* p) {
  return {widen_bf16(load_128(p)), widen_bf16(load_128(p + 8))};
}
PARING_INLINE F32x16 load_s8(const std::int8_t* p) {
  const __m128i bytes = load_128(p);
  return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)),
          _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_unpackhi_epi64(bytes, bytes)))};
}

PARING_INLINE F32x16 add(F32x16 a, F32x16 b) {
  return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)};
}
PARING_INLINE F32x16 sub(F32x16 a, F32x16 b) {
  return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)};
}
PARING_INLINE F32x16 mul(F32x16 a, F32x16 b) {
  return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)};
}
PARING_INLINE F32x16 div(F32x16 a, F32x16 b) {
  return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)};
}
PARING_INLINE F32x16 fma(F32x16 a, F32x16 b, F32x16 c) {
  return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}
// c - a * b
PARING_INLINE F32x16 fnma(F32x16 a, F32x16 b, F32x16 c) {
  return {_mm256_fnmadd_ps(a.lo, b.lo, c.lo), _mm256_fnmadd_ps(a.hi, b.hi, c.hi)};
}
// b where either is NaN, as the instructions do.
PARING_INLINE F32x16 max(F32x16 a, F32x16 b) {
  return {_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)};
}
PARING_INLINE F32x16 min(F32x16 a, F32x16 b) {
  return {_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)};
}
PARING_INLINE F32x16 abs(F32x16 a) {
  const __m256 sign = _mm256_set1_ps(-0.0F);
  return {_mm256_andnot_ps(sign, a.lo), _mm256_andnot_ps(sign, a.hi)};
}

// A fixed tree: lanes i and i + 8, then 4, 2, 1.
PARING_INLINE float reduce_add(F32x16 a) {
  const __m256 b = _mm256_add_ps(a.lo, a.hi);
  __m128 c = _mm_add_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
  c = _mm_add_ps(c, _mm_movehl_ps(c, c));
  return _mm_cvtss_f32(_mm_add_ss(c, _mm_shuffle_ps(c, c, 1)));
}
PARING_INLINE float reduce_max(F32x16 a) {
  const __m256 b = _mm256_max_ps(a.lo, a.hi);
  __m128 c = _mm_max_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
  c = _mm_max_ps(c, _mm_movehl_ps(c, c));
  return _mm_cvtss_f32(_mm_max_ss(c, _mm_shuffle_ps(c, c, 1)));
}

PARING_INLINE I32x16 bits(F32x16 a) {
  return {_mm256_castps_si256(a.lo), _mm256_castps_si256(a.hi)};
}
PARING_INLINE F32x16 from_bits(I32x16 a) {
  return {_mm256_castsi256_ps(a.lo), _mm256_castsi256_ps(a.hi)};
}
PARING_INLINE I32x16 broadcast_i32(std::int32_t x) {
  const __m256i v = _mm256_set1_epi32(x);
  return {v, v};
}
PARING_INLINE I32x16 add(I32x16 a, I32x16 b) {
  return {_mm256_add_epi32(a.lo, b.lo), _mm256_add_epi32(a.hi, b.hi)};
}
PARING_INLINE I32x16 sub(I32x16 a, I32x16 b) {
  return {_mm256_sub_epi32(a.lo, b.lo), _mm256_sub_epi32(a.hi, b.hi)};
}
template <int kBits>
PARING_INLINE I32x16 shift_left(I32x16 a) {
  return {_mm256_slli_epi32(a.lo, kBits), _mm256_slli_epi32(a.hi, kBits)};
}
template <int kBits>
PARING_INLINE I32x16 shift_right(I32x16 a) {  // arithmetic
  return {_mm256_srai_epi32(a.lo, kBits), _mm256_srai_epi32(a.hi, kBits)};
}
template <int kBits>
PARING_INLINE I32x16 shift_right_zero(I32x16 a) {
  return {_mm256_srli_epi32(a.lo, kBits), _mm256_srli_epi32(a.hi, kBits)};
}
PARING_INLINE F32x16 to_f32(I32x16 a) {
  return {_mm256_cvtepi32_ps(a.lo), _mm256_cvtepi32_ps(a.hi)};
}
// Nearest, ties to even.
PARING_INLINE I32x16 round_i32(F32x16 a) {
  return {_mm256_cvtps_epi32(a.lo), _mm256_cvtps_epi32(a.hi)};
}
PARING_INLINE std::int32_t reduce_add(I32x16 a) {
  const __m256i b = _mm256_add_epi32(a.lo, a.hi);
  __m128i c = _mm_add_epi32(_mm256_castsi256_si128(b), _mm256_extracti128_si256(b, 1));
  c = _mm_add_epi32(c, _mm_unpackhi_epi64(c, c));
  return _mm_cvtsi128_si32(_mm_add_epi32(c, _mm_shuffle_epi32(c, 1)));
}
// The low byte of each lane; lanes lie within -128..127.
PARING_INLINE void store_s8(std::int8_t* p, I32x16 a) {
  const __m256i words = _mm256_packs_epi32(a.lo, a.hi);  // 0-3, 8-11, 4-7, 12-15
  const __m256i ordered = _mm256_permute4x64_epi64(words, 0xd8);
  const __m128i bytes =
      _mm_packs_epi16(_mm256_castsi256_si128(ordered), _mm256_extracti128_si256(ordered, 1));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), bytes);
}

PARING_INLINE __m256i low_halves(I32x16 a) {
  // packs gives 0-3, 8-11, 4-7, 12-15.
  return _mm256_permute4x64_epi64(_mm256_packs_epi32(a.lo, a.hi), 0xd8);
}
// The low half of each lane; lanes lie within -32768..32767.
PARING_INLINE void store_s16(std::int16_t* p, I32x16 a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), low_halves(a));
}

PARING_INLINE I32x16 zero_i32() { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
// 32 bytes, widened.
PARING_INLINE Pairs load_pairs(const std::int8_t* p) {
  return {_mm256_cvtepi8_epi16(load_128(p)), _mm256_cvtepi8_epi16(load_128(p + 16))};
}
PARING_INLINE __m256i load_256(const void* p) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(p));
}
PARING_INLINE Pairs load_pairs(const std::int16_t* p) { return {load_256(p), load_256(p + 16)}; }
PARING_INLINE void store_pairs(std::int16_t* p, Pairs a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), a.lo);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p + 16), a.hi);
}
// The low halves of the lanes of a, then of b; lanes lie within -32768..32767.
PARING_INLINE Pairs low_halves(I32x16 a, I32x16 b) { return {low_halves(a), low_halves(b)}; }
// a * b / 2^15 of each int16, to nearest, halves up.
PARING_INLINE Pairs mul_fraction(Pairs a, Pairs b) {
  return {_mm256_mulhrs_epi16(a.lo, b.lo), _mm256_mulhrs_epi16(a.hi, b.hi)};
}
// The two values at p, in every lane.
PARING_INLINE Pairs broadcast_pair(const std::int16_t* p) {
  std::int32_t both;
  __builtin_memcpy(&both, p, sizeof(both));
  const __m256i v = _mm256_set1_epi32(both);
  return {v, v};
}
// a[0] * b[0] + a[1] * b[1] + sum in each lane; REQUIRES: no overflow of int32.
PARING_INLINE I32x16 add_pair_products(Pairs a, Pairs b, I32x16 sum) {
  return {_mm256_add_epi32(sum.lo, _mm256_madd_epi16(a.lo, b.lo)),
          _mm256_add_epi32(sum.hi, _mm256_madd_epi16(a.hi, b.hi))};
}

template <class Function>
PARING_INLINE F64x16 each(const Function& function) {
  return {{function(0), function(1), function(2), function(3)}};
}
PARING_INLINE F64x16 broadcast(double x) {
  const __m256d v = _mm256_set1_pd(x);
  return {{v, v, v, v}};
}
PARING_INLINE F64x16 zero_f64() { return broadcast(0.0); }
PARING_INLINE F64x16 to_f64(F32x16 a) {
  return {{_mm256_cvtps_pd(_mm256_castps256_ps128(a.lo)),
           _mm256_cvtps_pd(_mm256_extractf128_ps(a.lo, 1)),
           _mm256_cvtps_pd(_mm256_castps256_ps128(a.hi)),
           _mm256_cvtps_pd(_mm256_extractf128_ps(a.hi, 1))}};
}
PARING_INLINE F64x16 add(F64x16 a, F64x16 b) {
  return each([&](int i) { return _mm256_add_pd(a.v[i], b.v[i]); });
}
PARING_INLINE F64x16 sub(F64x16 a, F64x16 b) {
  return each([&](int i) { return _mm256_sub_pd(a.v[i], b.v[i]); });
}
PARING_INLINE F64x16 mul(F64x16 a, F64x16 b) {
  return each([&](int i) { return _mm256_mul_pd(a.v[i], b.v[i]); });
}
PARING_INLINE F64x16 fma(F64x16 a, F64x16 b, F64x16 c) {
  return each([&](int i) { return _mm256_fmadd_pd(a.v[i], b.v[i], c.v[i]); });
}
PARING_INLINE F64x16 fnma(F64x16 a, F64x16 b, F64x16 c) {
  return each([&](int i) { return _mm256_fnmadd_pd(a.v[i], b.v[i], c.v[i]); });
}
PARING_INLINE F64x16 max(F64x16 a, F64x16 b) {
  return each([&](int i) { return _mm256_max_pd(a.v[i], b.v[i]); });
}
// 2^n for n in -1022..1023, given n + 1.5 * 2^52.
PARING_INLINE F64x16 power_of_two(F64x16 shifted) {
  const __m256i one = _mm256_castpd_si256(_mm256_set1_pd(1.0));
  return each([&](int i) {
    const __m256i exponent = _mm256_slli_epi64(_mm256_castpd_si256(shifted.v[i]), 52);
    return _mm256_castsi256_pd(_mm256_add_epi64(exponent, one));
  });
}
// A fixed tree: lanes i and i + 8, then 4, 2, 1.
PARING_INLINE double reduce_add(F64x16 a) {
  const __m256d c = _mm256_add_pd(_mm256_add_pd(a.v[0], a.v[2]), _mm256_add_pd(a.v[1], a.v[3]));
  const __m128d d = _mm_add_pd(_mm256_castpd256_pd128(c), _mm256_extractf128_pd(c, 1));
  return _mm_cvtsd_f64(_mm_add_sd(d, _mm_unpackhi_pd(d, d)));
}

template <class V>
PARING_INLINE V load_vector(const void* p) {
  if constexpr (sizeof(V) == 16) {
    return {load_128(p)};
  } else if constexpr (sizeof(V) == 32) {
    return {load_256(p)};
  } else {
    return {load_256(p), load_256(static_cast<const std::uint8_t*>(p) + 32)};
  }
}
PARING_INLINE void store_quad(void* p, Quad a) {
  _mm256_storeu_si256(static_cast<__m256i*>(p), a.lo);
  _mm256_storeu_si256(static_cast<__m256i*>(p) + 1, a.hi);
}
PARING_INLINE void store_row_bytes(void* p, RowBytes a) {
  _mm_storeu_si128(static_cast<__m128i*>(p), a.v);
}
// Each byte shifted right by kShift (left, when negative) and masked; no bit may come from the
// neighbour.
template <int kShift, int kMask>
PARING_INLINE RowBytes bits_of(RowBytes a) {
  if constexpr (kShift > 0) a.v = _mm_srli_epi16(a.v, kShift);
  if constexpr (kShift < 0) a.v = _mm_slli_epi16(a.v, -kShift);
  return {_mm_and_si128(a.v, _mm_set1_epi8(kMask))};
}
template <int kShift, int kMask>
PARING_INLINE HalfQuad bits_of(HalfQuad a) {
  __m256i shifted = a.v;
  if constexpr (kShift > 0) shifted = _mm256_srli_epi16(a.v, kShift);
  if constexpr (kShift < 0) shifted = _mm256_slli_epi16(a.v, -kShift);
  return {_mm256_and_si256(shifted, _mm256_set1_epi8(kMask))};
}
template <int kShift, int kMask>
PARING_INLINE Quad bits_of(Quad a) {
  return {bits_of<kShift, kMask>(HalfQuad{a.lo}).v, bits_of<kShift, kMask>(HalfQuad{a.hi}).v};
}
PARING_INLINE RowBytes merge(RowBytes a, RowBytes b) { return {_mm_or_si128(a.v, b.v)}; }
PARING_INLINE HalfQuad merge(HalfQuad a, HalfQuad b) { return {_mm256_or_si256(a.v, b.v)}; }
PARING_INLINE Quad merge(Quad a, Quad b) {
  return {_mm256_or_si256(a.lo, b.lo), _mm256_or_si256(a.hi, b.hi)};
}
PARING_INLINE RowBytes add_bytes(RowBytes a, int x) {
  return {_mm_add_epi8(a.v, _mm_set1_epi8(static_cast<char>(x)))};
}
PARING_INLINE Quad add_bytes(Quad a, int x) {
  const __m256i bytes = _mm256_set1_epi8(static_cast<char>(x));
  return {_mm256_add_epi8(a.lo, bytes), _mm256_add_epi8(a.hi, bytes)};
}
// Adds kValue to the bytes whose bit is set in the word at `bits`: bit 4r + b for byte b of row r.
// They have no bit of kValue yet.
template <int kValue>
PARING_INLINE HalfQuad add_where(HalfQuad a, const std::uint8_t* bits) {
  std::int32_t word;
  __builtin_memcpy(&word, bits, sizeof(word));
  const __m256i source = _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1,  //
                                          2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3);
  const __m256i bit = _mm256_set1_epi64x(static_cast<long long>(0x8040201008040201ULL));
  const __m256i spread = _mm256_shuffle_epi8(_mm256_set1_epi32(word), source);
  const __m256i is_set = _mm256_cmpeq_epi8(_mm256_and_si256(spread, bit), bit);
  return {_mm256_or_si256(a.v, _mm256_and_si256(is_set, _mm256_set1_epi8(kValue)))};
}
template <int kValue>
PARING_INLINE Quad add_where(Quad a, const std::uint8_t* bits) {
  return {add_where<kValue>(HalfQuad{a.lo}, bits).v, add_where<kValue>(HalfQuad{a.hi}, bits + 4).v};
}
// Values of the codebook of IQ4_NL and IQ4_XS for codes 0..15.
PARING_INLINE HalfQuad codebook_values(HalfQuad codes) {
  const __m128i values = _mm_setr_epi8(-127, -104, -83, -65, -49, -35, -22, -10,  //
                                       1, 13, 25, 38, 53, 69, 89, 113);
  return {_mm256_shuffle_epi8(_mm256_broadcastsi128_si256(values), codes.v)};
}
PARING_INLINE Quad codebook_values(Quad codes) {
  return {codebook_values(HalfQuad{codes.lo}).v, codebook_values(HalfQuad{codes.hi}).v};
}
PARING_INLINE I32x16 as_i32(Quad a) { return {a.lo, a.hi}; }

// Largest float tile that the registers hold: 6 accumulators of two registers, two of weights, one
// broadcast.
inline constexpr int kFloatTileVectors = 6;
inline constexpr int kFloatTileRows = 6;
inline constexpr int kFloatTileColumnsMax = 4;

// Rows and vectors of a tile of integer attention: 4 sums of two registers.
inline constexpr int kPairTileRows = 4;
inline constexpr int kPairTileColumns = 1;

// Tokens of a tile of matmul_q: 6 int16 sums, two weight vectors, constants and what is in flight.
inline constexpr std::size_t kQuantizedTileTokens = 6;
inline constexpr std::size_t kTilePanels = 1;
// Up to this many tokens read the weights as stored, each of them once.
inline constexpr std::size_t kStoredTokens = 6;
// vpmaddubsw adds pairs of products in int16; it takes the magnitude of a signed weight and gives
// its sign to the activation.
inline constexpr int kSignedOffset = 0;
inline constexpr bool kTakesZeroOff = false;
inline constexpr bool kHasNarrowProducts = true;

}  // namespace
}  // namespace paring::kernels
