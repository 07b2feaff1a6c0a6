// SPDX-License-Identifier: Apache-2.0
// Scalar probes, for CPUs without a table of their own and as the truth for read().
#include <cstring>

#include "cost/probe_tables.h"

namespace paring::cost {
namespace {

std::uint64_t read_memory(const std::byte* memory, std::size_t bytes) noexcept {
  std::uint64_t sums[4] = {0, 0, 0, 0};
  for (std::size_t at = 0; at < bytes; at += sizeof(sums)) {
    std::uint64_t words[4];
    std::memcpy(words, memory + at, sizeof(words));
#pragma GCC unroll 16
    for (int i = 0; i < 4; ++i) sums[i] ^= words[i];
  }
  return sums[0] ^ sums[1] ^ sums[2] ^ sums[3];
}

// Eight chains, enough to hide the latency of a multiplication and an addition.
constexpr int kChains = 8;

float multiply_f32(std::uint64_t rounds) noexcept {
  float sums[kChains] = {0, 1, 2, 3, 4, 5, 6, 7};
  float factor = 0.5F;
  for (std::uint64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 16
    for (float& sum : sums) sum = sum * factor + 1.0F;
  }
  float total = 0;
  for (const float sum : sums) total += sum;
  return total;
}

std::int32_t multiply_int8(std::uint64_t rounds) noexcept {
  std::uint32_t sums[kChains] = {0, 1, 2, 3, 4, 5, 6, 7};
  for (std::uint64_t round = 0; round < rounds; ++round) {
    const auto code = static_cast<std::int8_t>(round);
#pragma GCC unroll 16
    for (std::uint32_t& sum : sums) {
      sum += static_cast<std::uint32_t>(code * static_cast<std::int8_t>(sum));
    }
  }
  std::uint32_t total = 0;
  for (const std::uint32_t sum : sums) total += sum;
  return static_cast<std::int32_t>(total);
}

}  // namespace

const ProbeTable kReferenceProbes = {"reference",   read_memory,   multiply_f32,
                                     2.0 * kChains, multiply_int8, 2.0 * kChains};

}  // namespace paring::cost
