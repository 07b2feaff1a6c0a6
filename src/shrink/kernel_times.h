// SPDX-License-Identifier: Apache-2.0
// Measured time of a product of a matrix with one or more vectors on this machine, by type and
// shape, with the weights cold as they are in decoding: copies that together exceed the last-level
// cache are read in turn.
#pragma once

#include <cstddef>
#include <map>
#include <tuple>

#include "base/executor.h"
#include "base/result.h"
#include "kernels/packed_matrix.h"

namespace paring::shrink {

class KernelTimes {
 public:
  explicit KernelTimes(Executor& executor) : executor_(executor) {}
  // Seconds of W X for `tokens` tokens; measured at the first call for a (type, rows, cols,
  // tokens). `encoded` holds the rows of any matrix of this shape.
  Result<double> seconds(DType type, const std::byte* encoded, std::size_t rows, std::size_t cols,
                         std::size_t tokens = 1);
  // Whether seconds() would answer without measuring.
  bool has(DType type, std::size_t rows, std::size_t cols, std::size_t tokens = 1) const {
    return times_.contains({type, rows, cols, tokens});
  }

 private:
  Executor& executor_;
  std::map<std::tuple<DType, std::size_t, std::size_t, std::size_t>, double> times_;
};

}  // namespace paring::shrink
