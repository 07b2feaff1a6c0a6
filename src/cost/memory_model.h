// SPDX-License-Identifier: Apache-2.0
// How much memory a model will take, before it is loaded, and whether there is that much. Pure
// functions but for check_memory().
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/result.h"
#include "kernels/ops.h"
#include "tensor/dtype.h"

namespace paring::cost {

struct KvShape {
  std::size_t layers = 0;           // all of them
  std::size_t windowed_layers = 0;  // that see only `window` tokens back
  std::size_t window = 0;
  std::size_t kv_heads = 0;
  std::size_t head_width = 0;  // a multiple of 32
  kernels::KvType type = kernels::KvType::kQ8;
};

// Keys and values of one token in all layers, as long as no window is full.
double kv_bytes_per_token(const KvShape& shape) noexcept;
// Of `tokens` tokens, in whole pages; layers with a window keep those that the next token sees.
std::uint64_t kv_bytes(const KvShape& shape, std::size_t tokens) noexcept;

// Weights of `parameters` parameters that are all of `type`, scales included; for models that are
// not here. 175e9 parameters in f32 are 700 GB.
std::uint64_t weight_bytes(double parameters, DType type) noexcept;

struct MemoryNeed {
  std::uint64_t weight_bytes = 0;
  std::uint64_t kv_bytes = 0;
  std::uint64_t buffer_bytes = 0;  // activations of a step, logits
  std::uint64_t total() const noexcept { return weight_bytes + kv_bytes + buffer_bytes; }
};

// Exhausted, with what is needed, what there is and what to do, when `required_bytes` more do not
// fit the machine or the control group. A machine that does not tell its memory passes.
Result<void> check_memory(std::uint64_t required_bytes);
// The same with the three parts named in the message.
Result<void> check_memory(const MemoryNeed& need);
// Against `available_bytes`, for tests and planning.
Result<void> check_memory(std::uint64_t required_bytes, std::uint64_t available_bytes);

}  // namespace paring::cost
