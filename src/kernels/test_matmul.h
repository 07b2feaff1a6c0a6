// SPDX-License-Identifier: Apache-2.0
// For the tests of this module: random matrices and activations, and products of them.
#pragma once

#include <cmath>
#include <cstddef>
#include <vector>

#include "base/aligned.h"
#include "kernels/ops.h"
#include "kernels/test_levels.h"
#include "quant/format.h"

namespace paring::kernels {

inline std::vector<std::byte> random_rows(DType type, std::size_t rows, std::size_t cols,
                                          unsigned seed) {
  if (dtype_info(type).block_values > 1) return random_block_rows(type, rows, cols, seed);
  std::vector<std::byte> bytes(rows * *dtype_row_bytes(type, cols));
  const std::vector<float> values = random_floats(rows * cols, seed, 0.05F);
  quant::find_format(type)->encode(values.data(), nullptr, bytes.data(), values.size());
  return bytes;
}

inline PackedMatrix random_matrix(DType type, std::size_t rows, std::size_t cols, unsigned seed) {
  return pack(type, random_rows(type, rows, cols, seed).data(), rows, cols).value();
}

// Activations in the form that matmul_q takes, with their memory.
struct Quantized {
  AlignedBuffer memory;
  QuantizedRows rows;
};

inline Quantized quantize(const KernelTable& table, const std::vector<float>& x, std::size_t tokens,
                          std::size_t cols) {
  Quantized quantized{AlignedBuffer::create(QuantizedRows::bytes(tokens, cols)).value(), {}};
  quantized.rows = QuantizedRows::place(quantized.memory.data(), tokens, cols);
  table.quantize_rows(x.data(), tokens, cols, cols, quantized.rows);
  return quantized;
}

inline std::vector<float> run_matmul_q(const KernelTable& table, const PackedMatrix& w,
                                       const std::vector<float>& x, std::size_t tokens) {
  const Quantized quantized = quantize(table, x, tokens, w.cols);
  std::vector<float> y(tokens * w.rows, NAN);
  table.matmul_q(w, quantized.rows, tokens, y.data(), w.rows, {0, w.panels()});
  return y;
}

inline std::vector<float> run_matmul_f(const KernelTable& table, const PackedMatrix& w,
                                       const std::vector<float>& x, std::size_t tokens) {
  std::vector<float> y(tokens * w.rows, NAN);
  table.matmul_f(w, x.data(), w.cols, tokens, y.data(), w.rows, {0, w.panels()});
  return y;
}

}  // namespace paring::kernels
