// SPDX-License-Identifier: Apache-2.0
// Reading panels: the planes of one panel, and the weight types as compile-time traits that unpack
// quads of codes and decode columns to f32. Included by the ISA tables alone.
#pragma once

namespace paring::kernels {
namespace {

// How far ahead of its use a weight is asked for when each is used for few tokens: the prefetchers
// of the CPU alone leave a tenth (Zen 5, 8 bits) to a quarter (5 bits) of the bandwidth unused. One
// stream of codes, or several panels side by side (matmul_f), where less each is better.
constexpr std::size_t kAheadBytes = 4096;
constexpr std::size_t kPanelAheadBytes = 2048;

// Where a panel's planes start, and how far the next panel's lie.
struct PanelPlanes {
  const std::uint8_t* codes;
  const std::uint64_t* high;
  const std::uint16_t* scales;
  const std::uint16_t* mins;
};

// Entry `offset` of a plane that a type may lack.
template <class Value>
PARING_INLINE const Value* plane_at(const AlignedBuffer& plane, std::size_t offset) {
  return plane.bytes() == 0 ? nullptr : plane.as<Value>() + offset;
}

PARING_INLINE PanelPlanes panel_planes(const PackedMatrix& w, std::size_t panel) {
  const std::size_t groups = w.cols / kGroupValues;
  const std::size_t panels = w.padded_rows / kPanelRows;
  return {w.codes.as<std::uint8_t>() + panel * (w.codes.bytes() / panels),
          plane_at<std::uint64_t>(w.high, panel * groups * 8),
          plane_at<std::uint16_t>(w.scales, panel * groups * kPanelRows),
          plane_at<std::uint16_t>(w.mins, panel * groups * kPanelRows)};
}

// A block type: stored bytes of codes a group of 16 rows, zero point, mins, fifth bits.
struct Q8_0 {
  static constexpr std::size_t kGroupBytes = 512;
  static constexpr int kZero = 0;
  static constexpr bool kHasMins = false;
  static constexpr bool kHasHigh = false;
};
struct Q4_0 {
  static constexpr std::size_t kGroupBytes = 256;
  static constexpr int kZero = 8;
  static constexpr bool kHasMins = false;
  static constexpr bool kHasHigh = false;
};
struct Q4_1 {
  static constexpr std::size_t kGroupBytes = 256;
  static constexpr int kZero = 0;
  static constexpr bool kHasMins = true;
  static constexpr bool kHasHigh = false;
};
struct Q5_0 {
  static constexpr std::size_t kGroupBytes = 256;
  static constexpr int kZero = 16;
  static constexpr bool kHasMins = false;
  static constexpr bool kHasHigh = true;
};
struct Q5_1 {
  static constexpr std::size_t kGroupBytes = 256;
  static constexpr int kZero = 0;
  static constexpr bool kHasMins = true;
  static constexpr bool kHasHigh = true;
};

// The 8 quads of group `g` as stored codes: signed for Q8_0, unsigned with the zero point
// otherwise.
template <class Type>
PARING_INLINE void load_group(const PanelPlanes& panel, std::size_t g, Quad (&quads)[8]) {
  const std::uint8_t* codes = panel.codes + g * Type::kGroupBytes;
  if constexpr (Type::kGroupBytes == 512) {
#pragma GCC unroll 8
    for (int j = 0; j < 8; ++j) quads[j] = load_quad(codes + 64 * j);
  } else {
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
      const Quad pair = load_quad(codes + 64 * j);
      quads[2 * j] = low_nibbles(pair);
      quads[2 * j + 1] = high_nibbles(pair);
      if constexpr (Type::kHasHigh) {
        quads[2 * j] = add_fifth_bits(quads[2 * j], panel.high[g * 8 + 2 * j]);
        quads[2 * j + 1] = add_fifth_bits(quads[2 * j + 1], panel.high[g * 8 + 2 * j + 1]);
      }
    }
  }
}

// Column b of a quad as 16 floats: scale * (code - zero) [+ min], exactly as the format decodes.
template <class Type, int kByte>
PARING_INLINE F32x16 decode_column(Quad quad, F32x16 scale, F32x16 min) {
  const I32x16 top = shift_left<24 - 8 * kByte>(as_i32(quad));
  I32x16 code{};
  if constexpr (Type::kGroupBytes == 512) {
    code = shift_right<24>(top);
  } else {
    code = shift_right_zero<24>(top);
  }
  if constexpr (Type::kZero != 0) code = sub(code, broadcast_i32(Type::kZero));
  // The product has at most 11 + 5 bits, so fma rounds as multiply and add would.
  if constexpr (Type::kHasMins) return fma(scale, to_f32(code), min);
  return mul(scale, to_f32(code));
}

// Decodes columns [k, k + count) of a panel to tile[count][16]; k and count are multiples of 32.
template <class Type>
PARING_INLINE void decode_columns(const PanelPlanes& panel, std::size_t k, std::size_t count,
                                  float* tile) {
  for (std::size_t g = k / kGroupValues; g < (k + count) / kGroupValues; ++g) {
    Quad quads[8];
    load_group<Type>(panel, g, quads);
    const F32x16 scale = load_f16(panel.scales + g * kPanelRows);
    F32x16 min = zero();
    if constexpr (Type::kHasMins) min = load_f16(panel.mins + g * kPanelRows);
#pragma GCC unroll 8
    for (int j = 0; j < 8; ++j) {
      store(tile, decode_column<Type, 0>(quads[j], scale, min));
      store(tile + 16, decode_column<Type, 1>(quads[j], scale, min));
      store(tile + 32, decode_column<Type, 2>(quads[j], scale, min));
      store(tile + 48, decode_column<Type, 3>(quads[j], scale, min));
      tile += 64;
    }
  }
}

// Float types: how 16 stored values become floats.
struct F32 {
  using Value = float;
  PARING_INLINE static F32x16 load16(const float* p) { return load(p); }
};
struct F16 {
  using Value = std::uint16_t;
  PARING_INLINE static F32x16 load16(const std::uint16_t* p) { return load_f16(p); }
};
struct BF16 {
  using Value = std::uint16_t;
  PARING_INLINE static F32x16 load16(const std::uint16_t* p) { return load_bf16(p); }
};

}  // namespace
}  // namespace paring::kernels
