// SPDX-License-Identifier: Apache-2.0
// What float products share, and the f32 inner loop of matmul_f and attention: a tile of dot
// products with one accumulator each, terms added in ascending order. Included by the ISA tables
// alone.
#pragma once

namespace paring::kernels {
namespace {

// y[t][n] = sum_k w[n][k] x[t][k].
struct FloatMatmul {
  const PackedMatrix& w;
  const float* x;
  std::size_t x_stride;
  float* y;
  std::size_t y_stride;
};

// One step of add_products(): the weights at b, the activations at a. A function of its own that is
// always inlined, because the sums must stay in registers.
template <class Type, int kRows, int kColumns>
PARING_INLINE void add_step(const float* a, std::size_t a_stride, const typename Type::Value* b,
                            std::size_t b_column, F32x16 (&sums)[kRows][kColumns]) {
  F32x16 weights[kColumns];
#pragma GCC unroll 8
  for (int c = 0; c < kColumns; ++c) {
    weights[c] = Type::load16(b + static_cast<std::size_t>(c) * b_column);
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
    const F32x16 x = broadcast(a[static_cast<std::size_t>(r) * a_stride]);
#pragma GCC unroll 8
    for (int c = 0; c < kColumns; ++c) sums[r][c] = fma(weights[c], x, sums[r][c]);
  }
}

// Asks for kSteps steps of kColumns whole panels of `count` steps, kPanelAheadBytes after step k.
template <class Type, int kColumns, std::size_t kSteps>
PARING_INLINE void prefetch_panels(const typename Type::Value* b, std::size_t b_step,
                                   std::size_t b_column, std::size_t k, std::size_t count) {
  constexpr std::size_t kStepBytes = 16 * sizeof(typename Type::Value);
  std::size_t ahead = k + kPanelAheadBytes / kStepBytes;
  // Past the end of these panels lie the ones of the next call.
  if (ahead >= count) ahead += (kColumns - 1) * count;
#pragma GCC unroll 8
  for (std::size_t c = 0; c < static_cast<std::size_t>(kColumns); ++c) {
    const auto* line = reinterpret_cast<const char*>(b + ahead * b_step + c * b_column);
#pragma GCC unroll 8
    for (std::size_t i = 0; i < kSteps * kStepBytes; i += 64) prefetch(line + i);
  }
}

// sums[r][c] = fma(b[k][c], a[r][k], sums[r][c]) for k ascending. Row r of a lies at a + r *
// a_stride; vector c of b at step k lies at b + k * b_step + c * b_column, and is asked for ahead
// of its use when b are whole panels in memory.
template <class Type, int kRows, int kColumns, bool kFromMemory = false>
PARING_INLINE void add_products(const float* a, std::size_t a_stride, const typename Type::Value* b,
                                std::size_t b_step, std::size_t b_column, std::size_t count,
                                F32x16 (&sums)[kRows][kColumns]) {
  std::size_t k = 0;
  if constexpr (kFromMemory) {
    constexpr std::size_t kSteps = 4;
    for (; k + kSteps <= count; k += kSteps) {
      prefetch_panels<Type, kColumns, kSteps>(b, b_step, b_column, k, count);
#pragma GCC unroll 8
      for (std::size_t i = k; i < k + kSteps; ++i) {
        add_step<Type, kRows, kColumns>(a + i, a_stride, b + i * b_step, b_column, sums);
      }
    }
  }
  for (; k < count; ++k) {
    add_step<Type, kRows, kColumns>(a + k, a_stride, b + k * b_step, b_column, sums);
  }
}

// Calls function.template operator()<n>() for the n in 1..kMax that equals `count`.
template <int kMax, class Function>
PARING_INLINE void with_count(std::size_t count, const Function& function) {
  if constexpr (kMax > 1) {
    if (count < static_cast<std::size_t>(kMax)) return with_count<kMax - 1>(count, function);
  }
  function.template operator()<kMax>();
}

// Splits `count` rows into tiles of nearly equal size, at most `tile_max`: the size of the next
// tile when `count` rows are left.
PARING_INLINE std::size_t next_tile(std::size_t count, std::size_t tile_max) {
  const std::size_t tiles = (count + tile_max - 1) / tile_max;
  return (count + tiles - 1) / tiles;
}

}  // namespace
}  // namespace paring::kernels
