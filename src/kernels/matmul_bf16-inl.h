// SPDX-License-Identifier: Apache-2.0
// matmul_bf16: weights of any type and activations are rounded to bf16, and pairs of columns
// multiplied. The order of work that its levels share: panels are decoded and rounded once, as many
// as stay in L2, and blocks of tokens, rounded into L1, go over them. A level brings
// multiply_block(). Included by the ISA tables alone.
#pragma once

namespace paring::kernels {
namespace {

// Columns of a pass; sums wait in y between passes.
constexpr std::size_t kBf16PassCols = 512;
constexpr std::size_t kBf16GroupCols = 32;
// Groups of rounded panels, of 1 KB each.
constexpr std::size_t kBf16Groups = 256;
// Rows of rounded tokens lie an odd number of cache lines apart, so that those of a tile do not
// meet in a few sets of L1.
constexpr std::size_t kBf16RowValues = kBf16PassCols + 32;

// 32 columns of a panel: pairs of columns below each other, 16 rows side by side.
struct Bf16Group {
  std::uint16_t values[kBf16GroupCols / 2][kPanelRows][2];
};
struct Bf16Panels {
  alignas(64) Bf16Group groups[kBf16Groups];
};
struct Bf16Block {
  alignas(64) std::uint16_t values[kBf16BlockTokens][kBf16RowValues];
};

// A block of tokens times panels [begin, end), `groups` groups of columns each.
struct Bf16Job {
  PanelRange panels;
  std::size_t groups;
  std::size_t tokens;
  bool is_first;  // else the sums in y go on
  float* y;       // of the first token, row 0 of the matrix
  std::size_t y_stride;
  std::size_t matrix_rows;
  // Rows of a panel that exist.
  PARING_INLINE std::size_t rows(std::size_t panel) const {
    const std::size_t left = matrix_rows - panel * kPanelRows;
    return left < kPanelRows ? left : kPanelRows;
  }
};

// REQUIRES: the Bf16Unit of this call exists.
void multiply_block(const Bf16Job& job, const Bf16Panels& weights, const Bf16Block& x);

// Columns [k, k + count) of a panel, and zeros for the rest of `groups` groups.
template <class Type>
PARING_NOINLINE void round_panel(const PackedMatrix& w, std::size_t panel, std::size_t k,
                                 std::size_t count, std::size_t groups, Bf16Group* target) {
  const auto round = [&](const auto& column) {
    for (std::size_t i = 0; i < groups * kBf16GroupCols; i += 2) {
      store_rounded_pairs(target[i / kBf16GroupCols].values[i % kBf16GroupCols / 2][0],
                          i < count ? column(i) : zero(), i + 1 < count ? column(i + 1) : zero());
    }
  };
  if constexpr (requires { typename Type::Value; }) {
    const auto* source =
        w.codes.template as<typename Type::Value>() + (panel * w.cols + k) * kPanelRows;
    round([&](std::size_t i) { return Type::load16(source + i * kPanelRows); });
  } else {
    alignas(64) float decoded[kBf16PassCols * kPanelRows];
    decode_columns<Type>(panel_planes(w, panel), k, count, decoded);
    round([&](std::size_t i) { return load(decoded + i * kPanelRows); });
  }
}

// `count` columns of tokens, zeros for the rest of `groups` groups, and rows of zeros up to a
// multiple of kBf16RowStep.
PARING_NOINLINE void round_block(const float* x, std::size_t x_stride, std::size_t tokens,
                                 std::size_t count, std::size_t groups, Bf16Block& target) {
  const std::size_t columns = groups * kBf16GroupCols;
  for (std::size_t t = 0; t < tokens; ++t) {
    const float* row = x + t * x_stride;
    std::uint16_t* values = target.values[t];
    std::size_t i = 0;
    for (; i + kBf16GroupCols <= count; i += kBf16GroupCols) {
      store_rounded(values + i, load(row + i), load(row + i + kPanelRows));
    }
    if (i < columns) {
      const std::size_t left = count - i;
      const std::size_t low = left < kPanelRows ? left : kPanelRows;
      store_rounded(values + i, load_first(row + i, low), load_first(row + i + low, left - low));
    }
  }
  for (std::size_t t = tokens; t % kBf16RowStep != 0; ++t) {
    for (std::size_t i = 0; i < columns; i += kBf16GroupCols) {
      store_rounded(target.values[t] + i, zero(), zero());
    }
  }
}

// Tokens of the next block when `tokens` are left: blocks of nearly equal size, in steps of rows
// that cost the same.
inline std::size_t next_block(std::size_t tokens) {
  const std::size_t steps = (tokens + kBf16RowStep - 1) / kBf16RowStep;
  const std::size_t next = next_tile(steps, kBf16BlockTokens / kBf16RowStep) * kBf16RowStep;
  return next < tokens ? next : tokens;
}

template <class Type>
inline void matmul_bf16_type(const FloatMatmul& product, std::size_t tokens, PanelRange panels) {
  const PackedMatrix& w = product.w;
  Bf16Panels weights;
  Bf16Block block;
  const Bf16Unit unit;
  for (std::size_t k = 0; k < w.cols; k += kBf16PassCols) {
    const std::size_t count = w.cols - k < kBf16PassCols ? w.cols - k : kBf16PassCols;
    const std::size_t groups = (count + kBf16GroupCols - 1) / kBf16GroupCols;
    const std::size_t batch = kBf16Groups / groups;
    for (std::size_t begin = panels.begin; begin < panels.end; begin += batch) {
      const std::size_t end = begin + batch < panels.end ? begin + batch : panels.end;
      for (std::size_t p = begin; p < end; ++p) {
        round_panel<Type>(w, p, k, count, groups, weights.groups + (p - begin) * groups);
      }
      for (std::size_t t = 0; t < tokens;) {
        const std::size_t rows = next_block(tokens - t);
        round_block(product.x + t * product.x_stride + k, product.x_stride, rows, count, groups,
                    block);
        multiply_block({{begin, end},
                        groups,
                        rows,
                        k == 0,
                        product.y + t * product.y_stride,
                        product.y_stride,
                        w.rows},
                       weights, block);
        t += rows;
      }
    }
  }
}

inline void matmul_bf16(const PackedMatrix& w, const float* x, std::size_t x_stride,
                        std::size_t tokens, float* y, std::size_t stride,
                        PanelRange panels) noexcept {
  if (tokens == 0 || panels.begin >= panels.end) return;
  const FloatMatmul product{w, x, x_stride, y, stride};
  if (w.type == DType::kF32) return matmul_bf16_type<F32>(product, tokens, panels);
  if (w.type == DType::kF16) return matmul_bf16_type<F16>(product, tokens, panels);
  if (w.type == DType::kBF16) return matmul_bf16_type<BF16>(product, tokens, panels);
  with_block_type(w.type, [&]<class Type>() { matmul_bf16_type<Type>(product, tokens, panels); });
}

}  // namespace
}  // namespace paring::kernels
