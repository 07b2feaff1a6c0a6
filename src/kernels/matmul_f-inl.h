// SPDX-License-Identifier: Apache-2.0
// matmul_f: f32 activations times weights of any type. Tiles of tokens x panels; a dot product
// keeps one accumulator over all k (ops.h), put into y between blocks of k. Included by the ISA
// tables alone.
#pragma once

namespace paring::kernels {
namespace {

// Floats of the decoded weight tile on the stack: 24 KB, so that it stays in L1 beside the
// activations.
constexpr std::size_t kDecodedFloats = 6144;

// Panels a tile of `rows` tokens covers: enough independent sums to hide the latency of fma.
constexpr int tile_columns(int rows) {
  int columns = kFloatTileVectors / rows;
  if (columns > kFloatTileColumnsMax) return kFloatTileColumnsMax;
  while ((columns & (columns - 1)) != 0) columns &= columns - 1;
  return columns;
}

// Tokens [t, t + kRows) x panels [panel, panel + kColumns), columns [k, k + count) of the weights,
// whose decoded or stored values start at b.
template <class Type, int kRows, int kColumns, bool kFromMemory>
PARING_NOINLINE void float_tile(const FloatMatmul& job, std::size_t t, std::size_t panel,
                                const typename Type::Value* b, std::size_t b_column, std::size_t k,
                                std::size_t count) {
  F32x16 sums[kRows][kColumns];
  const std::size_t first_row = panel * kPanelRows;
  const std::size_t rows_left = job.w.rows - first_row;
  const bool is_whole = rows_left >= kColumns * kPanelRows;
  float* y = job.y + t * job.y_stride + first_row;
  const auto valid = [&](int c) {
    const std::size_t skipped = static_cast<std::size_t>(c) * kPanelRows;
    return rows_left - skipped < kPanelRows ? rows_left - skipped : kPanelRows;
  };
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int c = 0; c < kColumns; ++c) {
      float* target = y + static_cast<std::size_t>(r) * job.y_stride + c * 16;
      if (k == 0) {
        sums[r][c] = zero();
      } else if (is_whole) {
        sums[r][c] = load(target);
      } else {
        sums[r][c] = load_first(target, valid(c));
      }
    }
  }
  add_products<Type, kRows, kColumns, kFromMemory>(job.x + t * job.x_stride + k, job.x_stride, b,
                                                   kPanelRows, b_column, count, sums);
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int c = 0; c < kColumns; ++c) {
      float* target = y + static_cast<std::size_t>(r) * job.y_stride + c * 16;
      if (is_whole) {
        store(target, sums[r][c]);
      } else {
        store_first(target, sums[r][c], valid(c));
      }
    }
  }
}

// Few tokens, float weights: one pass over the stored weights, no copy.
template <class Type, int kRows, int kColumns>
inline void float_panels_direct(const FloatMatmul& job, PanelRange panels) {
  const std::size_t panel_values = job.w.cols * kPanelRows;
  std::size_t panel = panels.begin;
  for (; panel + kColumns <= panels.end; panel += kColumns) {
    const auto* b = job.w.codes.template as<typename Type::Value>() + panel * panel_values;
    float_tile<Type, kRows, kColumns, true>(job, 0, panel, b, panel_values, 0, job.w.cols);
  }
  if constexpr (kColumns > 1) {
    float_panels_direct<Type, kRows, kColumns / 2>(job, {panel, panels.end});
  }
}

// Decodes columns [k, k + count) of one panel to tile[count][16].
template <class Type>
PARING_INLINE void decode_panel(const PackedMatrix& w, std::size_t panel, std::size_t k,
                                std::size_t count, float* tile) {
  if constexpr (requires { typename Type::Value; }) {
    const auto* source =
        w.codes.template as<typename Type::Value>() + (panel * w.cols + k) * kPanelRows;
    for (std::size_t i = 0; i < count; ++i) store(tile + 16 * i, Type::load16(source + 16 * i));
  } else {
    decode_columns<Type>(panel_planes(w, panel), k, count, tile);
  }
}

// Any number of tokens: decodes a block of kColumns panels once and takes all tokens past it.
template <class Type, int kRowsMax, int kColumns>
inline void float_panels_decoded(const FloatMatmul& job, std::size_t tokens, PanelRange panels) {
  constexpr std::size_t kBlock = kDecodedFloats / (16 * kColumns) / 32 * 32;
  alignas(64) float tile[kColumns * kBlock * 16];
  std::size_t panel = panels.begin;
  for (; panel + kColumns <= panels.end; panel += kColumns) {
    for (std::size_t k = 0; k < job.w.cols; k += kBlock) {
      const std::size_t count = job.w.cols - k < kBlock ? job.w.cols - k : kBlock;
      for (int c = 0; c < kColumns; ++c) {
        decode_panel<Type>(job.w, panel + c, k, count, tile + c * kBlock * 16);
      }
      for (std::size_t t = 0; t < tokens;) {
        const std::size_t rows = next_tile(tokens - t, kRowsMax);
        with_count<kRowsMax>(rows, [&]<int kRows>() {
          float_tile<F32, kRows, kColumns, false>(job, t, panel, tile, kBlock * 16, k, count);
        });
        t += rows;
      }
    }
  }
  if constexpr (kColumns > 1) {
    float_panels_decoded<Type, kRowsMax, kColumns / 2>(job, tokens, {panel, panels.end});
  }
}

template <class Type>
inline void matmul_f_type(const FloatMatmul& job, std::size_t tokens, PanelRange panels) {
  if constexpr (requires { typename Type::Value; }) {
    if (tokens <= kFloatTileRows) {
      with_count<kFloatTileRows>(tokens, [&]<int kRows>() {
        float_panels_direct<Type, kRows, tile_columns(kRows)>(job, panels);
      });
      return;
    }
  }
  if (tokens == 1) return float_panels_decoded<Type, 1, tile_columns(1)>(job, tokens, panels);
  if (tokens == 2) return float_panels_decoded<Type, 2, tile_columns(2)>(job, tokens, panels);
  if (tokens <= 4) return float_panels_decoded<Type, 4, tile_columns(4)>(job, tokens, panels);
  constexpr int kColumns = tile_columns(kFloatTileRows);
  float_panels_decoded<Type, kFloatTileRows, kColumns>(job, tokens, panels);
}

inline void matmul_f(const PackedMatrix& w, const float* x, std::size_t x_stride,
                     std::size_t tokens, float* y, std::size_t stride, PanelRange panels) noexcept {
  if (tokens == 0) return;
  const FloatMatmul job{w, x, x_stride, y, stride};
  if (w.type == DType::kF32) return matmul_f_type<F32>(job, tokens, panels);
  if (w.type == DType::kF16) return matmul_f_type<F16>(job, tokens, panels);
  if (w.type == DType::kBF16) return matmul_f_type<BF16>(job, tokens, panels);
  with_block_type(w.type, [&]<class Type>() { matmul_f_type<Type>(job, tokens, panels); });
}

}  // namespace
}  // namespace paring::kernels
