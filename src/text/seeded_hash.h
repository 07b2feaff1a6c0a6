// SPDX-License-Identifier: Apache-2.0
// Hashes for tables of what a file holds. The seed is new in each process, so that no file can be
// made whose entries all meet in one place of a table. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace paring::text {

// Drawn once a process.
std::uint64_t hash_seed();

// Both halves of the 128-bit product of two numbers.
inline std::uint64_t folded_product(std::uint64_t a, std::uint64_t b) {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64U);
}

inline constexpr std::uint64_t kHashFactor = 0x9E3779B97F4A7C15U;  // 2^64 / golden ratio, odd

inline std::uint64_t seeded_hash(std::uint64_t seed, std::uint64_t value) {
  return folded_product(folded_product(value ^ seed, kHashFactor) ^ seed, kHashFactor);
}

inline std::uint64_t seeded_hash(std::uint64_t seed, std::string_view bytes) {
  std::uint64_t hash = seed ^ bytes.size();
  const auto take = [&](const char* from, std::size_t size) {
    std::uint64_t chunk = 0;
    std::memcpy(&chunk, from, size);
    hash = folded_product(hash ^ chunk, kHashFactor) ^ seed;
  };
  std::size_t at = 0;
  for (; at + 8 <= bytes.size(); at += 8) take(bytes.data() + at, 8);
  if (at < bytes.size()) take(bytes.data() + at, bytes.size() - at);
  return folded_product(hash, kHashFactor);
}

}  // namespace paring::text
