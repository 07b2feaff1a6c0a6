// SPDX-License-Identifier: Apache-2.0
// Probes for AVX-512 with VNNI. The empty asm statements tell the compiler that a register may have
// changed, so that it neither hoists a product out of the loop nor merges rounds; chains start at
// different values, so that it does not merge them.
#include <immintrin.h>

#include "cost/probe_tables.h"

namespace paring::cost {
namespace {

// 2 multiply-adds a cycle with a latency of at most 5 cycles need 10 accumulators.
constexpr int kChains = 16;

std::uint64_t read_memory(const std::byte* memory, std::size_t bytes) noexcept {
  __m512i sums[4] = {};
  for (std::size_t at = 0; at < bytes; at += 512) {
    const std::byte* const block = memory + at;
#pragma GCC unroll 16
    for (int i = 0; i < 8; ++i) {
      sums[i % 4] = _mm512_xor_si512(sums[i % 4], _mm512_load_si512(block + 64 * i));
    }
  }
  const __m512i sum =
      _mm512_xor_si512(_mm512_xor_si512(sums[0], sums[1]), _mm512_xor_si512(sums[2], sums[3]));
  alignas(64) std::uint64_t words[8];
  _mm512_store_si512(words, sum);
  std::uint64_t total = 0;
  for (const std::uint64_t word : words) total ^= word;
  return total;
}

float multiply_f32(std::uint64_t rounds) noexcept {
  __m512 sums[kChains];
#pragma GCC unroll 16
  for (int i = 0; i < kChains; ++i) sums[i] = _mm512_set1_ps(static_cast<float>(i));
  __m512 factor = _mm512_set1_ps(0.5F);
  __m512 term = _mm512_set1_ps(1.0F);
  for (std::uint64_t round = 0; round < rounds; ++round) {
    asm volatile("" : "+v"(factor), "+v"(term));
#pragma GCC unroll 16
    for (int i = 0; i < kChains; ++i) sums[i] = _mm512_fmadd_ps(sums[i], factor, term);
  }
  __m512 total = sums[0];
#pragma GCC unroll 16
  for (int i = 1; i < kChains; ++i) total = _mm512_add_ps(total, sums[i]);
  return _mm512_cvtss_f32(total);
}

std::int32_t multiply_int8(std::uint64_t rounds) noexcept {
  __m512i sums[kChains];
#pragma GCC unroll 16
  for (int i = 0; i < kChains; ++i) sums[i] = _mm512_set1_epi32(i);
  __m512i left = _mm512_set1_epi8(3);
  __m512i right = _mm512_set1_epi8(-5);
  for (std::uint64_t round = 0; round < rounds; ++round) {
    asm volatile("" : "+v"(left), "+v"(right));
#pragma GCC unroll 16
    for (int i = 0; i < kChains; ++i) sums[i] = _mm512_dpbusd_epi32(sums[i], left, right);
  }
  __m512i total = sums[0];
#pragma GCC unroll 16
  for (int i = 1; i < kChains; ++i) total = _mm512_add_epi32(total, sums[i]);
  return _mm512_cvtsi512_si32(total);
}

}  // namespace

const ProbeTable kAvx512Probes = {
    "avx512", read_memory, multiply_f32, 2.0 * 16 * kChains, multiply_int8, 2.0 * 64 * kChains,
};

}  // namespace paring::cost
