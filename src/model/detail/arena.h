// SPDX-License-Identifier: Apache-2.0
// Cuts the one allocation of a forward pass into aligned pieces. Private to the buffers of the
// forward passes; confined to one thread.
#pragma once

#include <cstddef>

#include "kernels/ops.h"

namespace paring::model::detail {

inline std::size_t round_up(std::size_t value, std::size_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

// Hands out 64-byte aligned pieces of one allocation; with a null base it only counts.
class Arena {
 public:
  explicit Arena(std::byte* base) : base_(base) {}
  template <typename T>
  T* take(std::size_t count) {
    std::byte* piece = base_ == nullptr ? nullptr : base_ + used_;
    used_ = round_up(used_ + count * sizeof(T), 64);
    return reinterpret_cast<T*>(piece);
  }
  kernels::QuantizedRows take_quantized(std::size_t tokens, std::size_t cols) {
    std::byte* memory = take<std::byte>(kernels::QuantizedRows::bytes(tokens, cols));
    return memory == nullptr ? kernels::QuantizedRows{}
                             : kernels::QuantizedRows::place(memory, tokens, cols);
  }
  std::size_t used() const { return used_; }

 private:
  std::byte* base_;
  std::size_t used_ = 0;
};

}  // namespace paring::model::detail
