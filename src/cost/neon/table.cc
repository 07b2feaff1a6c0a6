// SPDX-License-Identifier: Apache-2.0
// Probes for NEON with the dot product. The empty asm statements tell the compiler that a register
// may have changed, so that it neither hoists a product out of the loop nor merges rounds; chains
// start at different values, so that it does not merge them.
#include <arm_neon.h>

#include "cost/probe_tables.h"

namespace paring::cost {
namespace {

// The largest cores do 4 multiply-adds a cycle with a latency of 4; with two operands the chains
// fit the 32 registers.
constexpr int kChains = 24;

std::uint64_t read_memory(const std::byte* memory, std::size_t bytes) noexcept {
  uint64x2_t sums[8];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) sums[i] = vdupq_n_u64(0);
  for (std::size_t at = 0; at < bytes; at += 512) {
    const auto* const block = reinterpret_cast<const std::uint64_t*>(memory + at);
#pragma GCC unroll 32
    for (int i = 0; i < 32; ++i) sums[i % 8] = veorq_u64(sums[i % 8], vld1q_u64(block + 2 * i));
  }
#pragma GCC unroll 8
  for (int i = 1; i < 8; ++i) sums[0] = veorq_u64(sums[0], sums[i]);
  return vgetq_lane_u64(sums[0], 0) ^ vgetq_lane_u64(sums[0], 1);
}

float multiply_f32(std::uint64_t rounds) noexcept {
  float32x4_t sums[kChains];
#pragma GCC unroll 32
  for (int i = 0; i < kChains; ++i) sums[i] = vdupq_n_f32(static_cast<float>(i));
  float32x4_t left = vdupq_n_f32(0.5F);
  float32x4_t right = vdupq_n_f32(2.0F);
  for (std::uint64_t round = 0; round < rounds; ++round) {
    asm volatile("" : "+w"(left), "+w"(right));
#pragma GCC unroll 32
    for (int i = 0; i < kChains; ++i) sums[i] = vfmaq_f32(sums[i], left, right);
  }
  float32x4_t total = sums[0];
#pragma GCC unroll 32
  for (int i = 1; i < kChains; ++i) total = vaddq_f32(total, sums[i]);
  return vgetq_lane_f32(total, 0);
}

std::int32_t multiply_int8(std::uint64_t rounds) noexcept {
  int32x4_t sums[kChains];
#pragma GCC unroll 32
  for (int i = 0; i < kChains; ++i) sums[i] = vdupq_n_s32(i);
  int8x16_t left = vdupq_n_s8(3);
  int8x16_t right = vdupq_n_s8(-5);
  for (std::uint64_t round = 0; round < rounds; ++round) {
    asm volatile("" : "+w"(left), "+w"(right));
#pragma GCC unroll 32
    for (int i = 0; i < kChains; ++i) sums[i] = vdotq_s32(sums[i], left, right);
  }
  int32x4_t total = sums[0];
#pragma GCC unroll 32
  for (int i = 1; i < kChains; ++i) total = vaddq_s32(total, sums[i]);
  return vgetq_lane_s32(total, 0);
}

}  // namespace

const ProbeTable kNeonProbes = {
    "neon", read_memory, multiply_f32, 2.0 * 4 * kChains, multiply_int8, 2.0 * 16 * kChains,
};

}  // namespace paring::cost
