// SPDX-License-Identifier: Apache-2.0
#include "base/random.h"

#include <cmath>
#include <numbers>

#include "base/check.h"

namespace paring {
namespace {

// Multipliers and key increments of the paper (the latter: golden ratio and sqrt(3) - 1, times
// 2^32).
constexpr std::uint32_t kMultiplier0 = 0xD2511F53;
constexpr std::uint32_t kMultiplier1 = 0xCD9E8D57;
constexpr std::uint32_t kWeyl0 = 0x9E3779B9;
constexpr std::uint32_t kWeyl1 = 0xBB67AE85;
constexpr int kRounds = 10;

}  // namespace

PhiloxCounter philox4x32(PhiloxCounter counter, PhiloxKey key) noexcept {
  for (int round = 0; round < kRounds; ++round) {
    const std::uint64_t product0 = std::uint64_t{kMultiplier0} * counter[0];
    const std::uint64_t product1 = std::uint64_t{kMultiplier1} * counter[2];
    const auto high0 = static_cast<std::uint32_t>(product0 >> 32);
    const auto high1 = static_cast<std::uint32_t>(product1 >> 32);
    counter = {high1 ^ counter[1] ^ key[0], static_cast<std::uint32_t>(product1),
               high0 ^ counter[3] ^ key[1], static_cast<std::uint32_t>(product0)};
    key[0] += kWeyl0;
    key[1] += kWeyl1;
  }
  return counter;
}

RandomStream::RandomStream(const RandomPlace& place) noexcept
    : key_{static_cast<std::uint32_t>(place.seed), static_cast<std::uint32_t>(place.seed >> 32)},
      counter_{0, place.position, static_cast<std::uint32_t>(place.sequence),
               static_cast<std::uint32_t>(place.sequence >> 32)} {}

std::uint32_t RandomStream::next_u32() noexcept {
  if (used_ == block_.size()) {
    block_ = philox4x32(counter_, key_);
    ++counter_[0];
    used_ = 0;
  }
  return block_[used_++];
}

float RandomStream::uniform_float() noexcept {
  return static_cast<float>(next_u32() >> 8) * 0x1p-24f;
}

double RandomStream::uniform() noexcept {
  const std::uint64_t high = next_u32();
  const std::uint64_t low = next_u32();
  return static_cast<double>((high << 32 | low) >> 11) * 0x1p-53;
}

std::uint32_t RandomStream::below(std::uint32_t bound) noexcept {
  PARING_DCHECK(bound > 0, "below() needs a positive bound");
  // Lemire, "Fast random integer generation in an interval" (2019): the few draws that would make
  // the low numbers likelier are refused.
  const std::uint32_t refuse_below = (0u - bound) % bound;
  for (;;) {
    const std::uint64_t product = std::uint64_t{next_u32()} * bound;
    if (static_cast<std::uint32_t>(product) >= refuse_below) {
      return static_cast<std::uint32_t>(product >> 32);
    }
  }
}

double RandomStream::normal() noexcept {
  const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform()));  // 1 - u is never 0
  return radius * std::cos(2.0 * std::numbers::pi * uniform());
}

}  // namespace paring
