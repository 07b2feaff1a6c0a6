// SPDX-License-Identifier: Apache-2.0
// Which code a value takes: evenly spaced codes, or the 16 uneven levels of IQ4_NL and IQ4_XS. Both
// map a value in units of the scale to the nearest level, four lanes at a time.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "quant/blocks.h"
#include "quant/lanes.h"

namespace paring::quant {

struct EvenLevels {
  Lanes lowest;
  Lanes highest;
  Lanes nearest_to(Lanes scaled) const noexcept {
    return nearest(smaller(larger(scaled, lowest), highest));
  }
  // The code that a file holds for it.
  LaneInts code_of(Lanes scaled) const noexcept {
    return __builtin_convertvector(nearest_to(scaled), LaneInts);
  }
};

// Every midpoint of two levels is a whole number of halves, so the halves between -128 and 128 say
// exactly which level is the nearest.
struct UnevenLevels {
  static constexpr std::size_t kHalves = 512;
  static const std::array<float, kHalves> kNearest;
  static const std::array<std::int8_t, kHalves> kIndex;

  Lanes nearest_to(Lanes scaled) const noexcept {
    const LaneInts half = half_of(scaled);
    return Lanes{kNearest[at(half[0])], kNearest[at(half[1])], kNearest[at(half[2])],
                 kNearest[at(half[3])]};
  }
  LaneInts code_of(Lanes scaled) const noexcept {
    const LaneInts half = half_of(scaled);
    return LaneInts{kIndex[at(half[0])], kIndex[at(half[1])], kIndex[at(half[2])],
                    kIndex[at(half[3])]};
  }

 private:
  static std::size_t at(std::int32_t half) noexcept { return static_cast<std::size_t>(half); }
  static LaneInts half_of(Lanes scaled) noexcept {
    const Lanes inside = smaller(larger(scaled, spread(-127.0F)), spread(113.0F));
    return __builtin_convertvector((inside + 128.0F) * 2.0F, LaneInts);
  }
};

}  // namespace paring::quant
