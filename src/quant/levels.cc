// SPDX-License-Identifier: Apache-2.0
#include "quant/levels.h"

namespace paring::quant {

namespace {

constexpr std::array<std::int8_t, UnevenLevels::kHalves> nearest_indices() {
  std::array<std::int8_t, UnevenLevels::kHalves> indices{};
  for (int half = 0; half < static_cast<int>(UnevenLevels::kHalves); ++half) {
    // Quarters keep the middle of the half a whole number.
    const int middle = 2 * half + 1 - 4 * 128;
    int best = 0;
    for (int i = 1; i < 16; ++i) {
      const int distance = middle - 4 * kIq4Values[i];
      const int best_distance = middle - 4 * kIq4Values[best];
      if (distance * distance < best_distance * best_distance) best = i;
    }
    indices[static_cast<std::size_t>(half)] = static_cast<std::int8_t>(best);
  }
  return indices;
}

constexpr std::array<float, UnevenLevels::kHalves> nearest_levels() {
  std::array<float, UnevenLevels::kHalves> levels{};
  const auto indices = nearest_indices();
  for (std::size_t half = 0; half < levels.size(); ++half) {
    levels[half] = static_cast<float>(kIq4Values[indices[half]]);
  }
  return levels;
}

}  // namespace

constexpr std::array<float, UnevenLevels::kHalves> UnevenLevels::kNearest = nearest_levels();
constexpr std::array<std::int8_t, UnevenLevels::kHalves> UnevenLevels::kIndex = nearest_indices();

}  // namespace paring::quant
