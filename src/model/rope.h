// SPDX-License-Identifier: Apache-2.0
// Rotary position embedding (arXiv:2104.09864): tables of cos and sin by position, and the
// rotation.
#pragma once

#include <cstddef>
#include <vector>

#include "model/block_spec.h"

namespace paring::model {

// Grows on demand; growing is not thread-safe, applying is.
class RopeTable {
 public:
  explicit RopeTable(const BlockSpec& spec);
  // Makes positions [0, count) available.
  void extend(std::size_t count);
  // Rotates one head of head_width values in place.
  void apply(float* head, std::size_t position) const noexcept;

 private:
  std::size_t half_;  // pairs
  RopePairing pairing_;
  std::size_t count_ = 0;
  std::vector<double> frequencies_;  // [half]
  std::vector<float> cos_;           // [count][half]
  std::vector<float> sin_;
};

}  // namespace paring::model
