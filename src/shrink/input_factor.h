// SPDX-License-Identifier: Apache-2.0
// Second moments H = E[x x^T] of a matrix's inputs, factored so that the rounding error of one
// weight can be made good by the weights that are rounded after it.
//
// H + damping = U D U^T with U unit upper triangular, columns in the order in which they are
// rounded (largest mean square first). Then the loss of errors e is
//   e H e^T = sum_k D_k (e_k + sum_{j<k} e_j U_jk)^2,
// so rounding w_k + sum_{j<k} e_j U_jk instead of w_k makes every term as small as rounding can:
// this is GPTQ (arXiv:2210.17323) in the form of QuIP's LDLQ (arXiv:2307.13304, theorem 1), which
// needs no inverse.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/executor.h"
#include "kernels/packed_matrix.h"

namespace paring::shrink {

// Columns [begin, begin + size) of the inputs; errors are passed on inside a block only, so that
// memory grows with the span and not with the square of the width.
struct FactorBlock {
  std::size_t begin = 0;
  std::size_t size = 0;
  std::vector<std::uint32_t> order;  // absolute columns, in the order of rounding
  // [size][size], lower triangle: row k holds U_jk for j < k, and D_k at its end.
  std::vector<float> rows;
  const float* row(std::size_t k) const { return rows.data() + k * size; }
};

struct InputFactor {
  std::vector<FactorBlock> blocks;
  bool empty() const { return blocks.empty(); }
};

// Sums of x x^T over tokens, for one site of the model.
class InputMoments {
 public:
  // `span`: most columns of a block; 0: only squares are summed.
  InputMoments(std::size_t cols, std::size_t span);
  std::size_t cols() const { return cols_; }
  static std::size_t bytes(std::size_t cols, std::size_t span);

  // What the additions of all sites share: one at a time. For up to `tokens` rows a call.
  class Scratch {
   public:
    // For sites of these widths. Exhausted when memory does not suffice.
    static Result<Scratch> create(std::span<const std::size_t> widths, std::size_t span,
                                  std::size_t tokens);

   private:
    friend class InputMoments;
    std::size_t tokens_ = 0;
    std::vector<float> transposed_;              // [span][tokens]
    std::vector<float> product_;                 // [span][span]
    std::vector<kernels::PackedMatrix> panels_;  // one for each size of block
    kernels::PackedMatrix& panels(std::size_t rows) noexcept;
  };

  // Adds `rows` rows of `data` [rows][cols]. Called by all workers at once, allocates nothing;
  // ends without a barrier. The sums do not depend on the number of workers.
  void add(Worker& worker, const float* data, std::size_t rows, Scratch& scratch) noexcept;

  // Mean squares of the columns.
  std::vector<float> mean_squares(std::size_t tokens) const;
  // Factors the mean over `tokens`; the sums are used up. `damping`: share of the mean square that
  // is added to the diagonal.
  InputFactor factor(std::size_t tokens, double damping) &&;

 private:
  struct Block {
    std::size_t begin;
    std::size_t size;
    std::vector<float> sums;  // [size][size], lower triangle
  };
  std::size_t cols_;
  std::vector<double> squares_;
  std::vector<Block> blocks_;
};

// The widest span, a multiple of 256, with which the moments of all sites (one width each) stay
// within `bytes_max`; at least 256.
std::size_t span_within(std::span<const std::size_t> widths, std::uint64_t bytes_max);

}  // namespace paring::shrink
