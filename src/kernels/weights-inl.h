// SPDX-License-Identifier: Apache-2.0
// Reading panels: the planes of one panel, and the weight types as compile-time traits that unpack
// quads of codes, scales and minima, and decode columns to f32. Included by the ISA tables alone.
#pragma once

namespace paring::kernels {
namespace {

// How far ahead of its use a weight is asked for when each is used for few tokens: the prefetchers
// of the CPU alone leave a tenth (Zen 5, 8 bits) to a quarter (5 bits) of the bandwidth unused. One
// stream of codes, or several panels side by side (matmul_f), where less each is better.
constexpr std::size_t kAheadBytes = 4096;
constexpr std::size_t kPanelAheadBytes = 2048;

constexpr std::size_t kSuperGroups = kSuperValues / kGroupValues;

// Layouts of sub-scales, by the type that has them.
enum class Subs : std::uint8_t { kNone, kQ2K, kQ3K, kQ4K, kQ6K, kIq4Xs };

// A block type (packed_matrix.h).
struct BlockTraits {
  int low_bits;
  int high_bits = 0;
  int zero = 0;
  bool has_mins = false;
  Subs subs = Subs::kNone;
  bool is_halved = false;  // a scale per 16 columns instead of per 32
  bool is_codebook = false;
};

template <BlockTraits kTraits>
struct Block {
  static constexpr std::size_t kLowBits = kTraits.low_bits;
  static constexpr std::size_t kHighBits = kTraits.high_bits;
  static constexpr int kZero = kTraits.zero;
  static constexpr bool kHasMins = kTraits.has_mins;
  static constexpr Subs kSubs = kTraits.subs;
  static constexpr bool kIsCodebook = kTraits.is_codebook;
  // Multiplied as signed bytes: the stored codes, or the codebook's values.
  static constexpr bool kIsSigned = kTraits.low_bits == 8 || kTraits.is_codebook;
  static constexpr std::size_t kHalves = kTraits.is_halved ? 2 : 1;  // scales of a group
  static constexpr std::size_t kGroupBytes = 64 * kLowBits;
  static constexpr std::size_t kGroupHighBytes = 64 * kHighBits;
  static constexpr std::size_t kScaleGroups = kSubs == Subs::kNone ? 1 : kSuperGroups;
  static constexpr std::size_t kSubBytes = kSubs == Subs::kNone                         ? 0
                                           : kSubs == Subs::kIq4Xs                      ? 6
                                           : kSubs == Subs::kQ2K || kSubs == Subs::kQ6K ? 16
                                                                                        : 12;
};

using Q8_0 = Block<{.low_bits = 8}>;
using Q4_0 = Block<{.low_bits = 4, .zero = 8}>;
using Q4_1 = Block<{.low_bits = 4, .has_mins = true}>;
using Q5_0 = Block<{.low_bits = 4, .high_bits = 1, .zero = 16}>;
using Q5_1 = Block<{.low_bits = 4, .high_bits = 1, .has_mins = true}>;
using Q2_K = Block<{.low_bits = 2, .has_mins = true, .subs = Subs::kQ2K, .is_halved = true}>;
using Q3_K =
    Block<{.low_bits = 2, .high_bits = 1, .zero = 4, .subs = Subs::kQ3K, .is_halved = true}>;
using Q4_K = Block<{.low_bits = 4, .has_mins = true, .subs = Subs::kQ4K}>;
using Q5_K = Block<{.low_bits = 4, .high_bits = 1, .has_mins = true, .subs = Subs::kQ4K}>;
using Q6_K =
    Block<{.low_bits = 4, .high_bits = 2, .zero = 32, .subs = Subs::kQ6K, .is_halved = true}>;
using IQ4_NL = Block<{.low_bits = 4, .is_codebook = true}>;
using IQ4_XS = Block<{.low_bits = 4, .subs = Subs::kIq4Xs, .is_codebook = true}>;

// Calls function.template operator()<Type>() for the block type of a matrix.
template <class Function>
inline void with_block_type(DType type, const Function& function) {
  if (type == DType::kQ8_0) return function.template operator()<Q8_0>();
  if (type == DType::kQ4_0) return function.template operator()<Q4_0>();
  if (type == DType::kQ4_1) return function.template operator()<Q4_1>();
  if (type == DType::kQ5_0) return function.template operator()<Q5_0>();
  if (type == DType::kQ5_1) return function.template operator()<Q5_1>();
  if (type == DType::kQ2_K) return function.template operator()<Q2_K>();
  if (type == DType::kQ3_K) return function.template operator()<Q3_K>();
  if (type == DType::kQ4_K) return function.template operator()<Q4_K>();
  if (type == DType::kQ5_K) return function.template operator()<Q5_K>();
  if (type == DType::kQ6_K) return function.template operator()<Q6_K>();
  if (type == DType::kIQ4_NL) return function.template operator()<IQ4_NL>();
  if (type == DType::kIQ4_XS) return function.template operator()<IQ4_XS>();
}

// Where a panel's planes start.
struct PanelPlanes {
  const std::uint8_t* codes;
  const std::uint8_t* high;
  const std::uint16_t* scales;
  const std::uint16_t* mins;
  const std::uint8_t* subs;
};

PARING_INLINE PanelPlanes panel_planes(const PackedMatrix& w, std::size_t panel) {
  const std::size_t panels = w.padded_rows / kPanelRows;
  const auto start = [&](const Plane& plane) {
    return plane.as<std::uint8_t>() + panel * (plane.bytes() / panels);
  };
  return {start(w.codes), start(w.high), reinterpret_cast<const std::uint16_t*>(start(w.scales)),
          reinterpret_cast<const std::uint16_t*>(start(w.mins)), start(w.subs)};
}

// Two-bit codes of quad j of the four that share `packed`, moved to bit kTo.
template <int kTo, class V>
PARING_INLINE V two_bits(V packed, std::size_t j) {
  constexpr int kMask = 3 << kTo;
  if (j % 4 == 0) return bits_of<0 - kTo, kMask>(packed);
  if (j % 4 == 1) return bits_of<2 - kTo, kMask>(packed);
  if (j % 4 == 2) return bits_of<4 - kTo, kMask>(packed);
  return bits_of<6 - kTo, kMask>(packed);
}

// Quad j of group `g`, or the half of it (V a vector of 8 rows) that starts at row 8 * half: signed
// values for the types that have them, unsigned codes with the zero point otherwise.
template <class Type, class V>
PARING_INLINE V load_codes(const PanelPlanes& panel, std::size_t g, std::size_t j,
                           std::size_t half = 0) {
  const std::uint8_t* codes = panel.codes + g * Type::kGroupBytes + half * sizeof(V);
  const std::uint8_t* high = panel.high + g * Type::kGroupHighBytes;
  if constexpr (Type::kLowBits == 8) return load_vector<V>(codes + 64 * j);
  V quad;
  if constexpr (Type::kLowBits == 4) {
    const V pair = load_vector<V>(codes + 64 * (j / 2));
    quad = j % 2 == 0 ? bits_of<0, 0x0f>(pair) : bits_of<4, 0x0f>(pair);
  } else {
    quad = two_bits<0>(load_vector<V>(codes + 64 * (j / 4)), j);
  }
  if constexpr (Type::kHighBits == 1) {
    quad = add_where<1 << Type::kLowBits>(quad, high + 8 * j + half * (sizeof(V) / 8));
  }
  if constexpr (Type::kHighBits == 2) {
    quad = merge(quad, two_bits<4>(load_vector<V>(high + half * sizeof(V) + 64 * (j / 4)), j));
  }
  if constexpr (Type::kIsCodebook) quad = codebook_values(quad);
  return quad;
}

// The sub-scales of 16 rows of a super-block as integers, [sub][row].
struct SubScales {
  alignas(64) std::int8_t scales[16 * kPanelRows];
  alignas(64) std::int8_t mins[16 * kPanelRows];
};

// Q3_K: bytes 0-7 hold the lower four bits of 16 scales, bytes 8-11 the upper two.
PARING_INLINE void unpack_subs_q3(const std::uint8_t* bytes, SubScales& subs) {
  const Quad lower[2] = {load_vector<Quad>(bytes), load_vector<Quad>(bytes + 64)};
  const Quad upper = load_vector<Quad>(bytes + 128);
  store_quad(subs.scales, merge(bits_of<0, 0x0f>(lower[0]), bits_of<-4, 0x30>(upper)));
  store_quad(subs.scales + 64, merge(bits_of<0, 0x0f>(lower[1]), bits_of<-2, 0x30>(upper)));
  store_quad(subs.scales + 128, merge(bits_of<4, 0x0f>(lower[0]), bits_of<0, 0x30>(upper)));
  store_quad(subs.scales + 192, merge(bits_of<4, 0x0f>(lower[1]), bits_of<2, 0x30>(upper)));
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    store_quad(subs.scales + 64 * i, add_bytes(load_vector<Quad>(subs.scales + 64 * i), -32));
  }
}

// Q4_K, Q5_K: bytes 0-3 hold scales 0-3, bytes 4-7 minima 0-3, six bits each; their upper two bits
// belong to scales and minima 4-7, whose lower four are in bytes 8-11.
PARING_INLINE void unpack_subs_q4(const std::uint8_t* bytes, SubScales& subs) {
  const Quad scales = load_vector<Quad>(bytes);
  const Quad mins = load_vector<Quad>(bytes + 64);
  const Quad lower = load_vector<Quad>(bytes + 128);
  store_quad(subs.scales, bits_of<0, 0x3f>(scales));
  store_quad(subs.scales + 64, merge(bits_of<0, 0x0f>(lower), bits_of<2, 0x30>(scales)));
  store_quad(subs.mins, bits_of<0, 0x3f>(mins));
  store_quad(subs.mins + 64, merge(bits_of<4, 0x0f>(lower), bits_of<2, 0x30>(mins)));
}

// IQ4_XS: bytes 0-1 hold the upper two bits of 8 scales, bytes 2-5 two lower halves each.
PARING_INLINE void unpack_subs_iq4(const std::uint8_t* bytes, SubScales& subs) {
#pragma GCC unroll 8
  for (std::size_t i = 0; i < 8; ++i) {
    const auto pair = load_vector<RowBytes>(bytes + 32 + 16 * (i / 2));
    const RowBytes low = i % 2 == 0 ? bits_of<0, 0x0f>(pair) : bits_of<4, 0x0f>(pair);
    const RowBytes high = two_bits<4>(load_vector<RowBytes>(bytes + 16 * (i / 4)), i);
    store_row_bytes(subs.scales + 16 * i, add_bytes(merge(low, high), -32));
  }
}

// The sub-scales of super-block `super`.
template <class Type>
PARING_INLINE void unpack_subs(const PanelPlanes& panel, std::size_t super, SubScales& subs) {
  const std::uint8_t* bytes = panel.subs + super * Type::kSubBytes * kPanelRows;
  if constexpr (Type::kSubs == Subs::kQ2K) {
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      const Quad both = load_vector<Quad>(bytes + 64 * i);
      store_quad(subs.scales + 64 * i, bits_of<0, 0x0f>(both));
      store_quad(subs.mins + 64 * i, bits_of<4, 0x0f>(both));
    }
  }
  if constexpr (Type::kSubs == Subs::kQ3K) unpack_subs_q3(bytes, subs);
  if constexpr (Type::kSubs == Subs::kQ4K) unpack_subs_q4(bytes, subs);
  if constexpr (Type::kSubs == Subs::kIq4Xs) unpack_subs_iq4(bytes, subs);
  if constexpr (Type::kSubs == Subs::kQ6K) {
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) store_quad(subs.scales + 64 * i, load_vector<Quad>(bytes + 64 * i));
  }
}

// Scale and minimum of half `h` of group `g` as f32. With sub-scales the products are exact: 11
// bits times at most 8. `subs` are those of the group's super-block.
template <class Type>
PARING_INLINE F32x16 load_scale(const PanelPlanes& panel, std::size_t g, std::size_t h,
                                const SubScales& subs) {
  const F32x16 scale = load_f16(panel.scales + g / Type::kScaleGroups * kPanelRows);
  if constexpr (Type::kSubs == Subs::kNone) return scale;
  const std::size_t entry = g % kSuperGroups * Type::kHalves + h;
  return mul(scale, load_s8(subs.scales + entry * kPanelRows));
}
template <class Type>
PARING_INLINE F32x16 load_min(const PanelPlanes& panel, std::size_t g, std::size_t h,
                              const SubScales& subs) {
  if constexpr (!Type::kHasMins) return zero();
  const F32x16 min = load_f16(panel.mins + g / Type::kScaleGroups * kPanelRows);
  if constexpr (Type::kSubs == Subs::kNone) return min;
  const std::size_t entry = g % kSuperGroups * Type::kHalves + h;
  return sub(zero(), mul(min, load_s8(subs.mins + entry * kPanelRows)));
}

// Column b of a quad as 16 floats: scale * (code - zero) [+ min], exactly as the format decodes.
template <class Type, int kByte>
PARING_INLINE F32x16 decode_column(Quad quad, F32x16 scale, F32x16 min) {
  const I32x16 top = shift_left<24 - 8 * kByte>(as_i32(quad));
  I32x16 code{};
  if constexpr (Type::kIsSigned) {
    code = shift_right<24>(top);
  } else {
    code = shift_right_zero<24>(top);
  }
  if constexpr (Type::kZero != 0) code = sub(code, broadcast_i32(Type::kZero));
  // The product has at most 11 + 6 + 5 bits, so fma rounds as multiply and add would.
  if constexpr (Type::kHasMins) return fma(scale, to_f32(code), min);
  return mul(scale, to_f32(code));
}

// Decodes columns [k, k + count) of a panel to tile[count][16]; k and count are multiples of 32.
template <class Type>
PARING_NOINLINE void decode_columns(const PanelPlanes& panel, std::size_t k, std::size_t count,
                                    float* tile) {
  SubScales subs;
  const std::size_t first = k / kGroupValues;
  for (std::size_t g = first; g < first + count / kGroupValues; ++g) {
    if (g == first || g % kSuperGroups == 0) unpack_subs<Type>(panel, g / kSuperGroups, subs);
#pragma GCC unroll 8
    for (std::size_t j = 0; j < 8; ++j) {
      const Quad quad = load_codes<Type, Quad>(panel, g, j);
      const std::size_t half = j * Type::kHalves / 8;
      const F32x16 scale = load_scale<Type>(panel, g, half, subs);
      const F32x16 min = load_min<Type>(panel, g, half, subs);
      store(tile, decode_column<Type, 0>(quad, scale, min));
      store(tile + 16, decode_column<Type, 1>(quad, scale, min));
      store(tile + 32, decode_column<Type, 2>(quad, scale, min));
      store(tile + 48, decode_column<Type, 3>(quad, scale, min));
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
