// SPDX-License-Identifier: Apache-2.0
// For the tests and benchmarks of this module: the levels to compare and random inputs.
#pragma once

#include <cstring>
#include <random>
#include <vector>

#include "kernels/ops.h"

namespace paring::kernels {

inline const KernelTable& reference_kernels() { return *find_kernels("reference"); }

// The levels that this CPU runs, fastest first, without the reference.
inline std::vector<const KernelTable*> fast_levels() {
  std::vector<const KernelTable*> tables;
  std::size_t count = 0;
  const IsaLevel* levels = isa_levels(&count);
  for (std::size_t i = 0; i < count; ++i) {
    if (levels[i].supported() && std::strcmp(levels[i].name, "reference") != 0) {
      tables.push_back(levels[i].table);
    }
  }
  return tables;
}

inline std::vector<float> random_floats(std::size_t count, unsigned seed, float deviation = 1.0F) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0F, deviation);
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

// Equal to the last bit, signs of zeros and payloads of NaNs included.
inline bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

}  // namespace paring::kernels
