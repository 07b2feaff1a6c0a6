// SPDX-License-Identifier: Apache-2.0
// What AVX512_BF16 adds to the probes of AVX-512 (cost/avx512/table.cc tells how loops are
// written).
#include <immintrin.h>

#include "cost/probe_tables.h"

namespace paring::cost {
namespace {

constexpr int kChains = 16;

// Chain i starts at i; a sum gets 1 * 0.5 twice from each product.
float multiply_bf16(std::uint64_t rounds) noexcept {
  __m512 sums[kChains];
#pragma GCC unroll 16
  for (int i = 0; i < kChains; ++i) sums[i] = _mm512_set1_ps(static_cast<float>(i));
  __m512i left = _mm512_set1_epi32(0x3f803f80);
  __m512i right = _mm512_set1_epi32(0x3f003f00);
  for (std::uint64_t round = 0; round < rounds; ++round) {
    asm volatile("" : "+v"(left), "+v"(right));
#pragma GCC unroll 16
    for (int i = 0; i < kChains; ++i) {
      sums[i] = _mm512_dpbf16_ps(sums[i], (__m512bh)left, (__m512bh)right);
    }
  }
  __m512 total = sums[0];
#pragma GCC unroll 16
  for (int i = 1; i < kChains; ++i) total = _mm512_add_ps(total, sums[i]);
  return _mm512_cvtss_f32(total);
}

}  // namespace

const ProbeTable kAvx512bf16Probes = {
    .isa = "avx512bf16",
    .multiply_bf16 = multiply_bf16,
    .multiply_bf16_operations = 2.0 * 32 * kChains,
};

}  // namespace paring::cost
