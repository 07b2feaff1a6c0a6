// SPDX-License-Identifier: Apache-2.0
// Counter-based random numbers, Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random
// numbers: as easy as 1, 2, 3", SC 2011, section 3.3): a number is a function of (seed, sequence,
// position, draw) and of nothing else, so sampling is the same in any batch and on any thread.
//
//   RandomStream stream({.seed = 1, .sequence = request_id, .position = token_index});
//   const double u = stream.uniform();
//
// philox4x32 is a pure function; a RandomStream belongs to one thread.
#pragma once

#include <array>
#include <cstdint>

namespace paring {

using PhiloxCounter = std::array<std::uint32_t, 4>;
using PhiloxKey = std::array<std::uint32_t, 2>;

// Ten rounds.
PhiloxCounter philox4x32(PhiloxCounter counter, PhiloxKey key) noexcept;

struct RandomPlace {
  std::uint64_t seed = 0;      // the key
  std::uint64_t sequence = 0;  // counter words 2 and 3
  std::uint32_t position = 0;  // counter word 1; word 0 counts the draws
};

class RandomStream {
 public:
  explicit RandomStream(const RandomPlace& place) noexcept;

  std::uint32_t next_u32() noexcept;
  // In [0, 1), multiples of 2^-24 and 2^-53.
  float uniform_float() noexcept;
  double uniform() noexcept;
  // In [0, bound), without bias. REQUIRES: bound > 0.
  std::uint32_t below(std::uint32_t bound) noexcept;
  // Mean 0, variance 1 (Box and Muller, two uniforms a number).
  double normal() noexcept;

 private:
  PhiloxKey key_;
  PhiloxCounter counter_;
  PhiloxCounter block_{};
  unsigned used_ = 4;  // words of block_ that are spent
};

}  // namespace paring
