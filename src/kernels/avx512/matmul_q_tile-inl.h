// SPDX-License-Identifier: Apache-2.0
// matmul_q on AVX-512 VNNI. A group of a panel is 8 vectors of 16 rows x 4 k; they are unpacked
// once for a tile of tokens, and each token adds 8 vpdpbusd whose activation operand is a 4-byte
// broadcast from memory. vpdpbusd multiplies unsigned by signed bytes: codes are made unsigned, and
// the integer sum starts at -zero * (sum of the activation codes), which is exact. Largest sum:
// 32 * 255 * 127 < 2^21. Included by table.cc alone.
#pragma once

namespace paring::kernels {
namespace {

template <class Type>
PARING_INLINE void load_unsigned_group(const PanelPlanes& panel, std::size_t g, Quad (&quads)[8]) {
  load_group<Type>(panel, g, quads);
  if constexpr (Type::kGroupBytes == 512) {
    const __m512i flip = _mm512_set1_epi8(static_cast<char>(0x80));
#pragma GCC unroll 8
    for (int j = 0; j < 8; ++j) quads[j].v = _mm512_xor_si512(quads[j].v, flip);
  }
}

PARING_INLINE __m512i broadcast_4_bytes(const std::int8_t* p) {
  std::int32_t bytes;
  __builtin_memcpy(&bytes, p, sizeof(bytes));
  return _mm512_set1_epi32(bytes);
}

template <class Type, int kTokens>
PARING_NOINLINE void tile_panel(const TileJob& job, const PackedMatrix& w,
                                std::size_t panel_index) {
  const PanelPlanes panel = panel_planes(w, panel_index);
  const std::size_t first_row = panel_index * kPanelRows;
  const std::size_t rows_left = w.rows - first_row;
  const std::size_t rows = rows_left < kPanelRows ? rows_left : kPanelRows;
  F32x16 sums[kTokens];
#pragma GCC unroll 16
  for (int t = 0; t < kTokens; ++t) {
    const float* y = job.y + static_cast<std::size_t>(t) * job.y_stride + first_row;
    sums[t] = job.first_group == 0 ? zero() : load_first(y, rows);
  }
  for (std::size_t i = 0; i < job.groups; ++i) {
    const std::size_t g = job.first_group + i;
    Quad quads[8];
    load_unsigned_group<Type>(panel, g, quads);
    prefetch_group<Type, kTokens>(panel, g);
    const F32x16 scale = load_f16(panel.scales + g * kPanelRows);
    F32x16 min = zero();
    if constexpr (Type::kHasMins) min = load_f16(panel.mins + g * kPanelRows);
    const GroupFactors& factors = job.factors[i];
#pragma GCC unroll 16
    for (int t = 0; t < kTokens; ++t) {
      const std::int8_t* codes =
          job.codes + static_cast<std::size_t>(t) * job.codes_stride + i * kGroupValues;
      __m512i products = _mm512_setzero_si512();
      if constexpr (zero_point<Type>() != 0) products = _mm512_set1_epi32(factors.starts[t]);
#pragma GCC unroll 8
      for (int j = 0; j < 8; ++j) {
        products = _mm512_dpbusd_epi32(products, quads[j].v, broadcast_4_bytes(codes + 4 * j));
      }
      sums[t] = fma(mul(broadcast(factors.scales[t]), scale), to_f32(I32x16{products}), sums[t]);
      if constexpr (Type::kHasMins) sums[t] = fma(min, broadcast(factors.value_sums[t]), sums[t]);
    }
  }
#pragma GCC unroll 16
  for (int t = 0; t < kTokens; ++t) {
    float* y = job.y + static_cast<std::size_t>(t) * job.y_stride + first_row;
    store_first(y, sums[t], rows);
  }
}

}  // namespace
}  // namespace paring::kernels
