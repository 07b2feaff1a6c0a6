// SPDX-License-Identifier: Apache-2.0
// Numerics, and which product a matrix is multiplied by in them. Pure functions.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/ops.h"
#include "tensor/dtype.h"

namespace paring::model {

// Exact: weights decoded to f32, f32 activations (and an f32 KvPool): the yardstick.
// Served: block-quantized weights meet int8 activations in groups of 32; float weights f32 ones.
// Fast: as served, but a product with so many rows that the level in use multiplies them faster in
// BF16 rounds weights and activations to that, and sums in an order of the level's own. How many
// rows those are makes a token's result depend on the size of its step: fast numerics are not
// batch-invariant. The head of a decoder stays as served. REQUIRES: kernels::check_fast().
enum class Numerics : std::uint8_t { kServed, kExact, kFast };

// "served", "exact", "fast".
inline const char* numerics_name(Numerics numerics) noexcept {
  switch (numerics) {
    case Numerics::kExact:
      return "exact";
    case Numerics::kFast:
      return "fast";
    case Numerics::kServed:
      break;
  }
  return "served";
}

enum class Product : std::uint8_t { kCodes, kFloats, kRounded };  // matmul_q, _f, _bf16

inline Product product_of(DType type, std::size_t rows, Numerics numerics,
                          const kernels::KernelTable& table) noexcept {
  if (numerics == Numerics::kExact) return Product::kFloats;
  const bool is_block = dtype_info(type).block_values > 1;
  const std::size_t rounded_from =
      is_block ? table.bf16_from.block_types : table.bf16_from.float_types;
  if (numerics == Numerics::kFast && rows >= rounded_from) return Product::kRounded;
  return is_block ? Product::kCodes : Product::kFloats;
}

// What a decoder's head is multiplied in.
inline Numerics head_numerics(Numerics numerics) noexcept {
  return numerics == Numerics::kFast ? Numerics::kServed : numerics;
}

// y[t * stride + n] = (W x)[n] for the rows n of `panels` and each of `rows` rows: x [rows, K] for
// kFloats and kRounded, `codes` for kCodes.
inline void multiply(Product product, const kernels::KernelTable& table,
                     const kernels::PackedMatrix& w, const float* x,
                     const kernels::QuantizedRows& codes, std::size_t rows, float* y,
                     std::size_t stride, kernels::PanelRange panels) noexcept {
  if (product == Product::kCodes) return table.matmul_q(w, codes, rows, y, stride, panels);
  const auto matmul = product == Product::kFloats ? table.matmul_f : table.matmul_bf16;
  matmul(w, x, w.cols, rows, y, stride, panels);
}

}  // namespace paring::model
