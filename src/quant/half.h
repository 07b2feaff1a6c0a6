// SPDX-License-Identifier: Apache-2.0
// f16 and bf16 conversions for inlining into the loops of this module: no table, no branch, so that
// the compiler vectorises them for the baseline (which has no F16C). Bit exact: round to nearest
// even, subnormals, infinities; a NaN keeps its upper payload bits and is made quiet when narrowed.
// Not for ISA folders (inline functions would become weak symbols there): use quant/format.h.
#pragma once

#include <bit>
#include <cstdint>

namespace paring::quant {

inline float widen_f16(std::uint16_t half) noexcept {
  const std::uint32_t magnitude = half & 0x7fffU;
  const std::uint32_t sign = static_cast<std::uint32_t>(half & 0x8000U) << 16;
  // Exponent bias 15 -> 127; infinities and NaNs (exponent 31) must end at 255.
  constexpr std::uint32_t kRebias = (127U - 15U) << 23;
  const std::uint32_t top = magnitude >= 0x7c00U ? kRebias : 0U;
  const std::uint32_t normal = (magnitude << 13) + kRebias + top;
  // Subnormals are magnitude * 2^-24, exact in f32. Through an int: signed conversion is one
  // instruction, and no subnormal f32 is touched, so flush-to-zero modes do not matter.
  const float small = static_cast<float>(static_cast<std::int32_t>(magnitude)) * 0x1p-24F;
  const std::uint32_t bits = magnitude < 0x0400U ? std::bit_cast<std::uint32_t>(small) : normal;
  return std::bit_cast<float>(bits | sign);
}

inline std::uint16_t narrow_f16(float value) noexcept {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t magnitude = bits & 0x7fffffffU;
  const std::uint32_t sign = (bits >> 16) & 0x8000U;
  // Normal range: rebias, then add just under half of the last kept bit, or exactly half when that
  // bit is odd. A carry runs into the exponent, and from 65520 on into infinity, as it should.
  constexpr std::uint32_t kRebias = (127U - 15U) << 23;
  const std::uint32_t normal = (magnitude - kRebias + 0x0fffU + ((magnitude >> 13) & 1U)) >> 13;
  // Below 2^-14: adding 0.5 leaves the value in units of 2^-24 in the low bits, rounded to nearest
  // even by the adder itself.
  const float shifted = std::bit_cast<float>(magnitude) + 0.5F;
  const std::uint32_t small = std::bit_cast<std::uint32_t>(shifted) - 0x3f000000U;
  const std::uint32_t nan = 0x7e00U | ((magnitude >> 13) & 0x01ffU);
  std::uint32_t half = magnitude < 0x38800000U ? small : normal;
  half = magnitude >= 0x47800000U ? 0x7c00U : half;  // 65536 and up
  half = magnitude > 0x7f800000U ? nan : half;
  return static_cast<std::uint16_t>(half | sign);
}

inline float widen_bf16(std::uint16_t brain) noexcept {
  return std::bit_cast<float>(static_cast<std::uint32_t>(brain) << 16);
}

inline std::uint16_t narrow_bf16(float value) noexcept {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t rounded = (bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16;
  const bool is_nan = (bits & 0x7fffffffU) > 0x7f800000U;
  return static_cast<std::uint16_t>(is_nan ? (bits >> 16) | 0x0040U : rounded);
}

}  // namespace paring::quant
