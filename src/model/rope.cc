// SPDX-License-Identifier: Apache-2.0
#include "model/rope.h"

#include <cmath>

#include "base/check.h"

namespace paring::model {

RopeTable::RopeTable(const BlockSpec& spec)
    : half_(spec.rope_width / 2), pairing_(spec.rope_pairing), frequencies_(half_) {
  for (std::size_t i = 0; i < half_; ++i) {
    frequencies_[i] =
        std::pow(static_cast<double>(spec.rope_base),
                 -2.0 * static_cast<double>(i) / static_cast<double>(spec.rope_width));
  }
}

void RopeTable::extend(std::size_t count) {
  if (count <= count_) return;
  cos_.resize(count * half_);
  sin_.resize(count * half_);
  for (std::size_t position = count_; position < count; ++position) {
    for (std::size_t i = 0; i < half_; ++i) {
      const double angle = static_cast<double>(position) * frequencies_[i];
      cos_[position * half_ + i] = static_cast<float>(std::cos(angle));
      sin_[position * half_ + i] = static_cast<float>(std::sin(angle));
    }
  }
  count_ = count;
}

void RopeTable::apply(float* head, std::size_t position) const noexcept {
  PARING_DCHECK(position < count_, "extend() must cover the position");
  const float* cosine = cos_.data() + position * half_;
  const float* sine = sin_.data() + position * half_;
  // Distance between the two values of a pair, and between pairs.
  const std::size_t partner = pairing_ == RopePairing::kAdjacent ? 1 : half_;
  const std::size_t step = pairing_ == RopePairing::kAdjacent ? 2 : 1;
  for (std::size_t i = 0; i < half_; ++i) {
    float* a = head + i * step;
    const float x = a[0];
    const float y = a[partner];
    a[0] = x * cosine[i] - y * sine[i];
    a[partner] = x * sine[i] + y * cosine[i];
  }
}

}  // namespace paring::model
