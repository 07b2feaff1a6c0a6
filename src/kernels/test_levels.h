// SPDX-License-Identifier: Apache-2.0
// For the tests and benchmarks of this module: the levels to compare and random inputs.
#pragma once

#include <cstring>
#include <random>
#include <utility>
#include <vector>

#include "kernels/ops.h"
#include "quant/format.h"

namespace paring::kernels {

inline const KernelTable& reference_kernels() { return *find_kernels("reference"); }

// The levels that this CPU runs, fastest first, without the reference.
inline std::vector<const KernelTable*> fast_levels() {
  std::vector<const KernelTable*> tables;
  for (const IsaLevel& level : isa_levels()) {
    if (level.supported() && std::strcmp(level.name, "reference") != 0) {
      tables.push_back(level.table);
    }
  }
  return tables;
}

inline std::vector<float> random_floats(std::size_t count, unsigned seed, float deviation = 1.0F) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0F, deviation);
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

// Every block type with kernels.
inline constexpr DType kBlockTypes[] = {DType::kQ8_0, DType::kQ4_0, DType::kQ4_1,   DType::kQ5_0,
                                        DType::kQ5_1, DType::kQ2_K, DType::kQ3_K,   DType::kQ4_K,
                                        DType::kQ5_K, DType::kQ6_K, DType::kIQ4_NL, DType::kIQ4_XS};

// `cols` rounded up to whole blocks of the type.
inline std::size_t whole_blocks(DType type, std::size_t cols) {
  const std::size_t block = dtype_info(type).block_values;
  return (cols + block - 1) / block * block;
}

// Offsets of the f16 scale and minimum in a block; both the same where there is no minimum.
inline std::pair<std::size_t, std::size_t> half_offsets(DType type) {
  if (type == DType::kQ2_K) return {80, 82};
  if (type == DType::kQ3_K) return {108, 108};
  if (type == DType::kQ6_K) return {208, 208};
  const bool has_min =
      type == DType::kQ4_1 || type == DType::kQ5_1 || type == DType::kQ4_K || type == DType::kQ5_K;
  return {0, has_min ? 2 : 0};
}

// Replaces the f16 fields of encoded rows by values of both signs around 2^-7, in super-blocks
// 2^-11.
inline void randomize_halves(DType type, std::vector<std::byte>& rows, std::mt19937& random) {
  const DTypeInfo& info = dtype_info(type);
  const auto [scale, min] = half_offsets(type);
  std::normal_distribution<float> normal(0.0F, info.block_values > 32 ? 0.0005F : 0.01F);
  for (std::size_t at = 0; at < rows.size(); at += info.block_bytes) {
    for (std::size_t offset : {min, scale}) {
      const std::uint16_t half = quant::f32_to_f16(normal(random));
      std::memcpy(rows.data() + at + offset, &half, 2);
    }
  }
}

// Encoded rows of a block type: random bits, so codes and sub-scales of all values.
inline std::vector<std::byte> random_block_rows(DType type, std::size_t rows, std::size_t cols,
                                                unsigned seed) {
  std::mt19937 random(seed);
  std::vector<std::byte> bytes(rows * dtype_row_bytes(type, cols).value());
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random() & 0xff);
  randomize_halves(type, bytes, random);
  return bytes;
}

// Equal to the last bit, signs of zeros and payloads of NaNs included.
inline bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

}  // namespace paring::kernels
