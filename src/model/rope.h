// SPDX-License-Identifier: Apache-2.0
// Rotary position embedding (arXiv:2104.09864): tables of cos and sin by position, and the
// rotation.
#pragma once

#include <cstddef>
#include <vector>

#include "model/block_spec.h"

namespace paring::model {

// Radians per position of each pair, [width / 2], with the scaling that the spec asks for. Of
// LongRoPE's two sets of divisors, the long one for a `context_tokens` above original_context.
std::vector<double> rope_frequencies(const RopeSpec& spec, std::size_t context_tokens);

// Grows on demand; growing is not thread-safe, applying is.
class RopeTable {
 public:
  // `context_tokens`: the longest sequence that is meant to run, see rope_frequencies().
  RopeTable(const RopeSpec& spec, std::size_t context_tokens);
  // Makes positions [0, count) available.
  void extend(std::size_t count);
  // Rotates one head in place: its first `width` values.
  void apply(float* head, std::size_t position) const noexcept;

 private:
  std::size_t half_;  // pairs
  RopePairing pairing_;
  double magnitude_;
  std::size_t count_ = 0;
  std::vector<double> frequencies_;  // [half]
  std::vector<float> cos_;           // [count][half], times the magnitude
  std::vector<float> sin_;
};

}  // namespace paring::model
