// SPDX-License-Identifier: Apache-2.0
// The vector vocabulary of the NEON table: the names of avx512/vec-inl.h over groups of four
// 128-bit registers (eight for doubles), lane for lane the same results. Included by table.cc
// alone.
#pragma once

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>

namespace paring::kernels {
namespace {

#define PARING_INLINE [[gnu::always_inline]] inline
// Tiles stay functions of their own: merged into their callers by the dozen, they take the compiler
// minutes with a sanitizer.
#define PARING_NOINLINE [[gnu::noinline]]

// Asks for the line at `p`, which may lie past the end of a buffer. An asm statement as on x86,
// where GCC 12 loses the builtin.
PARING_INLINE void prefetch(const void* p) { asm volatile("prfm pldl1keep, [%0]" : : "r"(p)); }

struct F32x16 {
  float32x4_t v[4];
};
struct F64x16 {
  float64x2_t v[8];
};
struct I32x16 {
  int32x4_t v[4];
};
// 16 rows of 4 bytes: one k-quad of a panel.
struct Quad {
  uint8x16_t v[4];
};
// 8 of them.
struct HalfQuad {
  uint8x16_t v[2];
};
// A byte of each row of a panel.
struct RowBytes {
  uint8x16_t v;
};

// 16 lanes of two int16: the first of each lane in two registers, the second in two others, as the
// products need them. In memory the two lie side by side.
struct Pairs {
  int16x8_t first[2];
  int16x8_t second[2];
};

// function(0) .. function(3), or as many as V has registers.
template <class V, class Function>
PARING_INLINE V each(const Function& function) {
  if constexpr (sizeof(V) == 128) {
    return {{function(0), function(1), function(2), function(3), function(4), function(5),
             function(6), function(7)}};
  } else if constexpr (sizeof(V) == 64) {
    return {{function(0), function(1), function(2), function(3)}};
  } else {
    return {{function(0), function(1)}};
  }
}

PARING_INLINE F32x16 broadcast(float x) {
  const float32x4_t v = vdupq_n_f32(x);
  return {{v, v, v, v}};
}
PARING_INLINE F32x16 zero() { return broadcast(0.0F); }
PARING_INLINE F32x16 load(const float* p) {
  return each<F32x16>([&](int i) { return vld1q_f32(p + 4 * i); });
}
PARING_INLINE void store(float* p, F32x16 a) {
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) vst1q_f32(p + 4 * i, a.v[i]);
}
// All ones in the first `count` (0..16) lanes, of which register i has four.
PARING_INLINE uint32x4_t first_lanes(std::size_t count, int i) {
  const uint32x4_t lanes = {0, 1, 2, 3};
  const uint32x4_t numbers = vaddq_u32(lanes, vdupq_n_u32(static_cast<std::uint32_t>(4 * i)));
  return vcltq_u32(numbers, vdupq_n_u32(static_cast<std::uint32_t>(count)));
}
// The first `count` (0..16) lanes; the others read as zero. No load is masked here: tails go
// through the stack.
PARING_INLINE F32x16 load_first(const float* p, std::size_t count) {
  if (count == 16) return load(p);
  alignas(16) float lanes[16] = {};
  for (std::size_t i = 0; i < count; ++i) lanes[i] = p[i];
  return load(lanes);
}
PARING_INLINE void store_first(float* p, F32x16 a, std::size_t count) {
  if (count == 16) return store(p, a);
  alignas(16) float lanes[16];
  store(lanes, a);
  for (std::size_t i = 0; i < count; ++i) p[i] = lanes[i];
}
// Lanes 0..count-1 of a, the others of b.
PARING_INLINE F32x16 select_first(std::size_t count, F32x16 a, F32x16 b) {
  return each<F32x16>([&](int i) { return vbslq_f32(first_lanes(count, i), a.v[i], b.v[i]); });
}
PARING_INLINE F32x16 load_f16(const std::uint16_t* p) {
  return each<F32x16>(
      [&](int i) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p + 4 * i))); });
}
PARING_INLINE void store_f16(std::uint16_t* p, F32x16 a) {
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) vst1_u16(p + 4 * i, vreinterpret_u16_f16(vcvt_f16_f32(a.v[i])));
}
PARING_INLINE F32x16 load_bf16(const std::uint16_t* p) {
  return each<F32x16>(
      [&](int i) { return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p + 4 * i), 16)); });
}
PARING_INLINE F32x16 load_s8(const std::int8_t* p) {
  const int8x16_t bytes = vld1q_s8(p);
  const int16x8_t words[2] = {vmovl_s8(vget_low_s8(bytes)), vmovl_high_s8(bytes)};
  return each<F32x16>([&](int i) {
    return vcvtq_f32_s32(i % 2 == 0 ? vmovl_s16(vget_low_s16(words[i / 2]))
                                    : vmovl_high_s16(words[i / 2]));
  });
}

PARING_INLINE F32x16 add(F32x16 a, F32x16 b) {
  return each<F32x16>([&](int i) { return vaddq_f32(a.v[i], b.v[i]); });
}
PARING_INLINE F32x16 sub(F32x16 a, F32x16 b) {
  return each<F32x16>([&](int i) { return vsubq_f32(a.v[i], b.v[i]); });
}
PARING_INLINE F32x16 mul(F32x16 a, F32x16 b) {
  return each<F32x16>([&](int i) { return vmulq_f32(a.v[i], b.v[i]); });
}
PARING_INLINE F32x16 div(F32x16 a, F32x16 b) {
  return each<F32x16>([&](int i) { return vdivq_f32(a.v[i], b.v[i]); });
}
PARING_INLINE F32x16 fma(F32x16 a, F32x16 b, F32x16 c) {
  return each<F32x16>([&](int i) { return vfmaq_f32(c.v[i], a.v[i], b.v[i]); });
}
// c - a * b
PARING_INLINE F32x16 fnma(F32x16 a, F32x16 b, F32x16 c) {
  return each<F32x16>([&](int i) { return vfmsq_f32(c.v[i], a.v[i], b.v[i]); });
}
// b where either is NaN, as on x86; fmax would give the NaN.
PARING_INLINE float32x4_t larger(float32x4_t a, float32x4_t b) {
  return vbslq_f32(vcgtq_f32(a, b), a, b);
}
PARING_INLINE F32x16 max(F32x16 a, F32x16 b) {
  return each<F32x16>([&](int i) { return larger(a.v[i], b.v[i]); });
}
PARING_INLINE F32x16 min(F32x16 a, F32x16 b) {
  return each<F32x16>([&](int i) { return vbslq_f32(vcltq_f32(a.v[i], b.v[i]), a.v[i], b.v[i]); });
}
PARING_INLINE F32x16 abs(F32x16 a) {
  return each<F32x16>([&](int i) { return vabsq_f32(a.v[i]); });
}

// A fixed tree: lanes i and i + 8, then 4, 2, 1.
PARING_INLINE float reduce_add(F32x16 a) {
  const float32x4_t b = vaddq_f32(vaddq_f32(a.v[0], a.v[2]), vaddq_f32(a.v[1], a.v[3]));
  const float32x2_t c = vadd_f32(vget_low_f32(b), vget_high_f32(b));
  return vget_lane_f32(c, 0) + vget_lane_f32(c, 1);
}
PARING_INLINE float reduce_max(F32x16 a) {
  const float32x4_t b = larger(larger(a.v[0], a.v[2]), larger(a.v[1], a.v[3]));
  const float32x4_t c = larger(b, vextq_f32(b, b, 2));
  return vgetq_lane_f32(larger(c, vextq_f32(c, c, 1)), 0);
}

PARING_INLINE I32x16 bits(F32x16 a) {
  return each<I32x16>([&](int i) { return vreinterpretq_s32_f32(a.v[i]); });
}
PARING_INLINE F32x16 from_bits(I32x16 a) {
  return each<F32x16>([&](int i) { return vreinterpretq_f32_s32(a.v[i]); });
}
PARING_INLINE I32x16 broadcast_i32(std::int32_t x) {
  const int32x4_t v = vdupq_n_s32(x);
  return {{v, v, v, v}};
}
PARING_INLINE I32x16 add(I32x16 a, I32x16 b) {
  return each<I32x16>([&](int i) { return vaddq_s32(a.v[i], b.v[i]); });
}
PARING_INLINE I32x16 sub(I32x16 a, I32x16 b) {
  return each<I32x16>([&](int i) { return vsubq_s32(a.v[i], b.v[i]); });
}
template <int kBits>
PARING_INLINE I32x16 shift_left(I32x16 a) {
  return each<I32x16>([&](int i) { return vshlq_n_s32(a.v[i], kBits); });
}
template <int kBits>
PARING_INLINE I32x16 shift_right(I32x16 a) {  // arithmetic
  return each<I32x16>([&](int i) { return vshrq_n_s32(a.v[i], kBits); });
}
template <int kBits>
PARING_INLINE I32x16 shift_right_zero(I32x16 a) {
  return each<I32x16>([&](int i) {
    return vreinterpretq_s32_u32(vshrq_n_u32(vreinterpretq_u32_s32(a.v[i]), kBits));
  });
}
PARING_INLINE F32x16 to_f32(I32x16 a) {
  return each<F32x16>([&](int i) { return vcvtq_f32_s32(a.v[i]); });
}
// Nearest, ties to even.
PARING_INLINE I32x16 round_i32(F32x16 a) {
  return each<I32x16>([&](int i) { return vcvtnq_s32_f32(a.v[i]); });
}
PARING_INLINE std::int32_t reduce_add(I32x16 a) {
  return vaddvq_s32(vaddq_s32(vaddq_s32(a.v[0], a.v[1]), vaddq_s32(a.v[2], a.v[3])));
}
// The low halves of 8 lanes.
PARING_INLINE int16x8_t narrow(int32x4_t a, int32x4_t b) {
  return vuzp1q_s16(vreinterpretq_s16_s32(a), vreinterpretq_s16_s32(b));
}
// The low byte of each lane.
PARING_INLINE void store_s8(std::int8_t* p, I32x16 a) {
  const int8x16_t low = vreinterpretq_s8_s16(narrow(a.v[0], a.v[1]));
  vst1q_s8(p, vuzp1q_s8(low, vreinterpretq_s8_s16(narrow(a.v[2], a.v[3]))));
}
// The low half of each lane.
PARING_INLINE void store_s16(std::int16_t* p, I32x16 a) {
  vst1q_s16(p, narrow(a.v[0], a.v[1]));
  vst1q_s16(p + 8, narrow(a.v[2], a.v[3]));
}

PARING_INLINE I32x16 zero_i32() { return broadcast_i32(0); }
// 32 bytes, widened.
PARING_INLINE Pairs load_pairs(const std::int8_t* p) {
  const int8x16x2_t bytes = vld2q_s8(p);
  return {{vmovl_s8(vget_low_s8(bytes.val[0])), vmovl_high_s8(bytes.val[0])},
          {vmovl_s8(vget_low_s8(bytes.val[1])), vmovl_high_s8(bytes.val[1])}};
}
PARING_INLINE Pairs load_pairs(const std::int16_t* p) {
  const int16x8x2_t low = vld2q_s16(p);
  const int16x8x2_t high = vld2q_s16(p + 16);
  return {{low.val[0], high.val[0]}, {low.val[1], high.val[1]}};
}
PARING_INLINE void store_pairs(std::int16_t* p, Pairs a) {
  vst2q_s16(p, int16x8x2_t{{a.first[0], a.second[0]}});
  vst2q_s16(p + 16, int16x8x2_t{{a.first[1], a.second[1]}});
}
// The low halves of the lanes of a, then of b.
PARING_INLINE Pairs low_halves(I32x16 a, I32x16 b) {
  const int16x8_t words[4] = {narrow(a.v[0], a.v[1]), narrow(a.v[2], a.v[3]),
                              narrow(b.v[0], b.v[1]), narrow(b.v[2], b.v[3])};
  return {{vuzp1q_s16(words[0], words[1]), vuzp1q_s16(words[2], words[3])},
          {vuzp2q_s16(words[0], words[1]), vuzp2q_s16(words[2], words[3])}};
}
// a * b / 2^15 of each int16, to nearest, halves up; not both may be -2^15.
PARING_INLINE Pairs mul_fraction(Pairs a, Pairs b) {
  return {{vqrdmulhq_s16(a.first[0], b.first[0]), vqrdmulhq_s16(a.first[1], b.first[1])},
          {vqrdmulhq_s16(a.second[0], b.second[0]), vqrdmulhq_s16(a.second[1], b.second[1])}};
}
// The two values at p, in every lane.
PARING_INLINE Pairs broadcast_pair(const std::int16_t* p) {
  const int16x8_t first = vdupq_n_s16(p[0]);
  const int16x8_t second = vdupq_n_s16(p[1]);
  return {{first, first}, {second, second}};
}
// a[0] * b[0] + a[1] * b[1] + sum in each lane; REQUIRES: no overflow of int32.
PARING_INLINE I32x16 add_pair_products(Pairs a, Pairs b, I32x16 sum) {
#pragma GCC unroll 2
  for (int i = 0; i < 2; ++i) {
    int32x4_t& low = sum.v[2 * i];
    int32x4_t& high = sum.v[2 * i + 1];
    low = vmlal_s16(low, vget_low_s16(a.first[i]), vget_low_s16(b.first[i]));
    high = vmlal_high_s16(high, a.first[i], b.first[i]);
    low = vmlal_s16(low, vget_low_s16(a.second[i]), vget_low_s16(b.second[i]));
    high = vmlal_high_s16(high, a.second[i], b.second[i]);
  }
  return sum;
}

PARING_INLINE F64x16 broadcast(double x) {
  const float64x2_t v = vdupq_n_f64(x);
  return {{v, v, v, v, v, v, v, v}};
}
PARING_INLINE F64x16 zero_f64() { return broadcast(0.0); }
PARING_INLINE F64x16 to_f64(F32x16 a) {
  return each<F64x16>([&](int i) {
    return i % 2 == 0 ? vcvt_f64_f32(vget_low_f32(a.v[i / 2])) : vcvt_high_f64_f32(a.v[i / 2]);
  });
}
PARING_INLINE F64x16 add(F64x16 a, F64x16 b) {
  return each<F64x16>([&](int i) { return vaddq_f64(a.v[i], b.v[i]); });
}
PARING_INLINE F64x16 sub(F64x16 a, F64x16 b) {
  return each<F64x16>([&](int i) { return vsubq_f64(a.v[i], b.v[i]); });
}
PARING_INLINE F64x16 mul(F64x16 a, F64x16 b) {
  return each<F64x16>([&](int i) { return vmulq_f64(a.v[i], b.v[i]); });
}
PARING_INLINE F64x16 fma(F64x16 a, F64x16 b, F64x16 c) {
  return each<F64x16>([&](int i) { return vfmaq_f64(c.v[i], a.v[i], b.v[i]); });
}
PARING_INLINE F64x16 fnma(F64x16 a, F64x16 b, F64x16 c) {
  return each<F64x16>([&](int i) { return vfmsq_f64(c.v[i], a.v[i], b.v[i]); });
}
PARING_INLINE F64x16 max(F64x16 a, F64x16 b) {
  return each<F64x16>([&](int i) { return vbslq_f64(vcgtq_f64(a.v[i], b.v[i]), a.v[i], b.v[i]); });
}
// 2^n for n in -1022..1023, given n + 1.5 * 2^52.
PARING_INLINE F64x16 power_of_two(F64x16 shifted) {
  const int64x2_t one = vreinterpretq_s64_f64(vdupq_n_f64(1.0));
  return each<F64x16>([&](int i) {
    const int64x2_t exponent = vshlq_n_s64(vreinterpretq_s64_f64(shifted.v[i]), 52);
    return vreinterpretq_f64_s64(vaddq_s64(exponent, one));
  });
}
// A fixed tree: lanes i and i + 8, then 4, 2, 1.
PARING_INLINE double reduce_add(F64x16 a) {
  const float64x2_t low = vaddq_f64(vaddq_f64(a.v[0], a.v[4]), vaddq_f64(a.v[2], a.v[6]));
  const float64x2_t high = vaddq_f64(vaddq_f64(a.v[1], a.v[5]), vaddq_f64(a.v[3], a.v[7]));
  const float64x2_t both = vaddq_f64(low, high);
  return vgetq_lane_f64(both, 0) + vgetq_lane_f64(both, 1);
}

template <class V>
PARING_INLINE V load_vector(const void* p) {
  const auto* bytes = static_cast<const std::uint8_t*>(p);
  if constexpr (sizeof(V) == 16) {
    return {vld1q_u8(bytes)};
  } else {
    return each<V>([&](int i) { return vld1q_u8(bytes + 16 * i); });
  }
}
PARING_INLINE void store_quad(void* p, Quad a) {
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) vst1q_u8(static_cast<std::uint8_t*>(p) + 16 * i, a.v[i]);
}
PARING_INLINE void store_row_bytes(void* p, RowBytes a) {
  vst1q_u8(static_cast<std::uint8_t*>(p), a.v);
}
// Each byte shifted right by kShift (left, when negative) and masked.
template <int kShift, int kMask>
PARING_INLINE RowBytes bits_of(RowBytes a) {
  if constexpr (kShift < 0) a.v = vshlq_n_u8(a.v, -kShift);
  if constexpr (kShift > 0) {
    a.v = vshrq_n_u8(a.v, kShift);
    if constexpr (kMask == 0xff >> kShift) return a;
  }
  return {vandq_u8(a.v, vdupq_n_u8(kMask))};
}
template <int kShift, int kMask>
PARING_INLINE HalfQuad bits_of(HalfQuad a) {
  return each<HalfQuad>([&](int i) { return bits_of<kShift, kMask>(RowBytes{a.v[i]}).v; });
}
template <int kShift, int kMask>
PARING_INLINE Quad bits_of(Quad a) {
  return each<Quad>([&](int i) { return bits_of<kShift, kMask>(RowBytes{a.v[i]}).v; });
}
PARING_INLINE RowBytes merge(RowBytes a, RowBytes b) { return {vorrq_u8(a.v, b.v)}; }
PARING_INLINE HalfQuad merge(HalfQuad a, HalfQuad b) {
  return each<HalfQuad>([&](int i) { return vorrq_u8(a.v[i], b.v[i]); });
}
PARING_INLINE Quad merge(Quad a, Quad b) {
  return each<Quad>([&](int i) { return vorrq_u8(a.v[i], b.v[i]); });
}
PARING_INLINE RowBytes add_bytes(RowBytes a, int x) {
  return {vaddq_u8(a.v, vdupq_n_u8(static_cast<std::uint8_t>(x)))};
}
PARING_INLINE Quad add_bytes(Quad a, int x) {
  return each<Quad>([&](int i) { return add_bytes(RowBytes{a.v[i]}, x).v; });
}
// Adds kValue to the bytes whose bit is set in the word at `bits`: bit 4r + b for byte b of row r.
// They have no bit of kValue yet. Register i of a vector takes bytes 2i and 2i + 1 of the word.
template <int kValue, class V>
PARING_INLINE V add_where_bits(V a, const std::uint8_t* bits) {
  const uint8x16_t bit = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
  return each<V>([&](int i) {
    const uint8x16_t spread = vcombine_u8(vdup_n_u8(bits[2 * i]), vdup_n_u8(bits[2 * i + 1]));
    return vorrq_u8(a.v[i], vandq_u8(vtstq_u8(spread, bit), vdupq_n_u8(kValue)));
  });
}
template <int kValue>
PARING_INLINE HalfQuad add_where(HalfQuad a, const std::uint8_t* bits) {
  return add_where_bits<kValue>(a, bits);
}
template <int kValue>
PARING_INLINE Quad add_where(Quad a, const std::uint8_t* bits) {
  return add_where_bits<kValue>(a, bits);
}
// Values of the codebook of IQ4_NL and IQ4_XS for codes 0..15.
template <class V>
PARING_INLINE V codebook_values(V codes) {
  const int8x16_t values = {-127, -104, -83, -65, -49, -35, -22, -10,  //
                            1,    13,   25,  38,  53,  69,  89,  113};
  return each<V>([&](int i) { return vqtbl1q_u8(vreinterpretq_u8_s8(values), codes.v[i]); });
}
PARING_INLINE I32x16 as_i32(Quad a) {
  return each<I32x16>([&](int i) { return vreinterpretq_s32_u8(a.v[i]); });
}

// Largest float tile that the 32 registers hold: 6 accumulators of four registers, four of weights,
// one broadcast.
inline constexpr int kFloatTileVectors = 6;
inline constexpr int kFloatTileRows = 6;
inline constexpr int kFloatTileColumnsMax = 4;

// Rows and vectors of a tile of integer attention: 3 sums of four registers, in int32 and in f32.
inline constexpr int kPairTileRows = 3;
inline constexpr int kPairTileColumns = 1;

// Tokens of a tile of matmul_q, half a panel (8 rows) wide: of each two sums in int32, two in f32
// and 16 activations, beside two registers of weights.
inline constexpr std::size_t kQuantizedTileTokens = 5;
inline constexpr std::size_t kTilePanels = 1;
// Up to this many tokens read the weights as stored, each of them once.
inline constexpr std::size_t kStoredTokens = 5;
// sdot multiplies signed bytes, in int32: signed values as they are, and unsigned codes too, since
// none has more than 6 bits.
inline constexpr int kSignedOffset = 0;
inline constexpr bool kTakesZeroOff = false;
inline constexpr bool kHasNarrowProducts = false;

}  // namespace
}  // namespace paring::kernels
