// SPDX-License-Identifier: Apache-2.0
// Probes for AVX2 with FMA. The empty asm statements tell the compiler that a register may have
// changed, so that it neither hoists a product out of the loop nor merges rounds; chains start at
// different values, so that it does not merge them.
#include <immintrin.h>

#include "cost/probe_tables.h"

namespace paring::cost {
namespace {

// 12 accumulators: 2 multiply-adds a cycle with a latency of at most 5 cycles need 10; with two
// operands they fit the 16 registers.
constexpr int kChains = 12;
// Additions of integers take one cycle, products do not depend on each other.
constexpr int kSumChains = 8;

std::uint64_t read_memory(const std::byte* memory, std::size_t bytes) noexcept {
  __m256i sums[4] = {};
  for (std::size_t at = 0; at < bytes; at += 512) {
    const auto* const block = reinterpret_cast<const __m256i*>(memory + at);
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) {
      sums[i % 4] = _mm256_xor_si256(sums[i % 4], _mm256_load_si256(block + i));
    }
  }
  const __m256i sum =
      _mm256_xor_si256(_mm256_xor_si256(sums[0], sums[1]), _mm256_xor_si256(sums[2], sums[3]));
  const __m128i half = _mm_xor_si128(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
  return static_cast<std::uint64_t>(_mm_cvtsi128_si64(half)) ^
         static_cast<std::uint64_t>(_mm_extract_epi64(half, 1));
}

float multiply_f32(std::uint64_t rounds) noexcept {
  __m256 sums[kChains];
#pragma GCC unroll 16
  for (int i = 0; i < kChains; ++i) sums[i] = _mm256_set1_ps(static_cast<float>(i));
  __m256 factor = _mm256_set1_ps(0.5F);
  __m256 term = _mm256_set1_ps(1.0F);
  for (std::uint64_t round = 0; round < rounds; ++round) {
    asm volatile("" : "+x"(factor), "+x"(term));
#pragma GCC unroll 16
    for (int i = 0; i < kChains; ++i) sums[i] = _mm256_fmadd_ps(sums[i], factor, term);
  }
  __m256 total = sums[0];
#pragma GCC unroll 16
  for (int i = 1; i < kChains; ++i) total = _mm256_add_ps(total, sums[i]);
  return _mm256_cvtss_f32(total);
}

// maddubs with 16-bit sums: the fastest that 8-bit products can be on this level. Kernels that must
// widen to 32 bits more often stay below.
std::int32_t multiply_int8(std::uint64_t rounds) noexcept {
  __m256i sums[kSumChains];
#pragma GCC unroll 16
  for (int i = 0; i < kSumChains; ++i) sums[i] = _mm256_set1_epi16(static_cast<short>(i));
  __m256i left = _mm256_set1_epi8(3);
  __m256i right = _mm256_set1_epi8(-5);
  for (std::uint64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 16
    for (int i = 0; i < kSumChains; ++i) {
      asm volatile("" : "+x"(left));
      sums[i] = _mm256_add_epi16(sums[i], _mm256_maddubs_epi16(left, right));
    }
  }
  __m256i total = sums[0];
#pragma GCC unroll 16
  for (int i = 1; i < kSumChains; ++i) total = _mm256_add_epi16(total, sums[i]);
  return static_cast<short>(_mm256_extract_epi16(total, 0));
}

}  // namespace

const ProbeTable kAvx2Probes = {
    "avx2", read_memory, multiply_f32, 2.0 * 8 * kChains, multiply_int8, 2.0 * 32 * kSumChains,
};

}  // namespace paring::cost
