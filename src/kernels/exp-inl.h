// SPDX-License-Identifier: Apache-2.0
// exp() on the vectors of vec-inl.h: x = n ln 2 + r with |r| <= ln 2 / 2, Taylor's polynomial in r,
// and 2^n put into the exponent. Included by the ISA tables alone.
#pragma once

namespace paring::kernels {
namespace {

// Relative error below 2e-7 (the next term, (ln 2 / 2)^8 / 8!, is 5e-9; the rest is rounding).
// exp(-inf) = 0, overflow gives inf, NaN stays NaN; results below 2^-126 are rounded as denormals.
PARING_INLINE F32x16 exp(F32x16 x) {
  // Beyond these the result is 0 or inf anyway; n stays within two factors of 2^127.
  x = min(broadcast(89.0F), max(broadcast(-104.0F), x));
  // Adding 1.5 * 2^23 rounds to an integer that stands in the low bits.
  const F32x16 magic = broadcast(12582912.0F);
  const F32x16 shifted = fma(x, broadcast(1.44269504F), magic);
  const F32x16 n = sub(shifted, magic);
  // ln 2 in two parts, so that n * ln 2 is subtracted without losing bits of r.
  F32x16 r = fnma(n, broadcast(0.693359375F), x);
  r = fnma(n, broadcast(-2.12194440e-4F), r);
  F32x16 p = broadcast(1.0F / 5040);
  p = fma(p, r, broadcast(1.0F / 720));
  p = fma(p, r, broadcast(1.0F / 120));
  p = fma(p, r, broadcast(1.0F / 24));
  p = fma(p, r, broadcast(1.0F / 6));
  p = fma(p, r, broadcast(0.5F));
  p = fma(p, r, broadcast(1.0F));
  p = fma(p, r, broadcast(1.0F));
  // Two factors, because 2^128 and 2^-150 are no normal numbers.
  const I32x16 exponent = sub(bits(shifted), bits(magic));
  const I32x16 half = shift_right<1>(exponent);
  const I32x16 bias = broadcast_i32(127);
  const F32x16 first = from_bits(shift_left<23>(add(half, bias)));
  const F32x16 second = from_bits(shift_left<23>(add(sub(exponent, half), bias)));
  return mul(mul(p, first), second);
}

// For x <= 0 or NaN; exactly 0 below -87.7, where results would be no normal numbers. Relative
// error below 3e-7. The exponent has room for 2^n, so that one factor does.
PARING_INLINE F32x16 exp_of_negative(F32x16 x) {
  x = max(broadcast(-88.0F), x);
  const F32x16 magic = broadcast(12582912.0F);
  const F32x16 shifted = fma(x, broadcast(1.44269504F), magic);
  const F32x16 n = sub(shifted, magic);
  F32x16 r = fnma(n, broadcast(0.693359375F), x);
  r = fnma(n, broadcast(-2.12194440e-4F), r);
  F32x16 p = broadcast(1.0F / 720);
  p = fma(p, r, broadcast(1.0F / 120));
  p = fma(p, r, broadcast(1.0F / 24));
  p = fma(p, r, broadcast(1.0F / 6));
  p = fma(p, r, broadcast(0.5F));
  p = fma(p, r, broadcast(1.0F));
  p = fma(p, r, broadcast(1.0F));
  // n = -127 gives the bits of 0.
  const I32x16 exponent = sub(bits(shifted), broadcast_i32(0x4b400000 - 127));
  return mul(p, from_bits(shift_left<23>(exponent)));
}

// For x <= 709; below -708 the result is about 3e-308. Relative error below 1e-15.
PARING_INLINE F64x16 exp(F64x16 x) {
  x = max(broadcast(-708.0), x);
  const F64x16 magic = broadcast(6755399441055744.0);  // 1.5 * 2^52
  const F64x16 shifted = fma(x, broadcast(1.4426950408889634), magic);
  const F64x16 n = sub(shifted, magic);
  F64x16 r = fnma(n, broadcast(0x1.62e42fefa39efp-1), x);
  r = fnma(n, broadcast(0x1.abc9e3b39803fp-56), r);
  // 1/k! down from k = 12: (ln 2 / 2)^13 / 13! is 2e-16.
  F64x16 p = broadcast(1.0 / 479001600);
  p = fma(p, r, broadcast(1.0 / 39916800));
  p = fma(p, r, broadcast(1.0 / 3628800));
  p = fma(p, r, broadcast(1.0 / 362880));
  p = fma(p, r, broadcast(1.0 / 40320));
  p = fma(p, r, broadcast(1.0 / 5040));
  p = fma(p, r, broadcast(1.0 / 720));
  p = fma(p, r, broadcast(1.0 / 120));
  p = fma(p, r, broadcast(1.0 / 24));
  p = fma(p, r, broadcast(1.0 / 6));
  p = fma(p, r, broadcast(0.5));
  p = fma(p, r, broadcast(1.0));
  p = fma(p, r, broadcast(1.0));
  return mul(p, power_of_two(shifted));
}

}  // namespace
}  // namespace paring::kernels
