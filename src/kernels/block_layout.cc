// SPDX-License-Identifier: Apache-2.0
#include "kernels/block_layout.h"

#include <cstring>

namespace paring::kernels {
namespace {

using Codes = std::uint8_t;

const std::uint8_t* bytes_at(const std::byte* block, std::size_t offset) {
  return reinterpret_cast<const std::uint8_t*>(block) + offset;
}
std::uint8_t* bytes_at(std::byte* block, std::size_t offset) {
  return reinterpret_cast<std::uint8_t*>(block) + offset;
}

Codes as_code(unsigned value) { return static_cast<Codes>(value); }

// Runs of 2 * kRun values whose first half lies in the low and second half in the high nibbles of
// kRun bytes.
template <std::size_t kRun>
void read_nibbles(const std::uint8_t* source, std::size_t values, Codes* codes) {
  for (std::size_t k = 0; k < values; k += 2 * kRun, source += kRun) {
    for (std::size_t i = 0; i < kRun; ++i) {
      codes[k + i] = source[i] & 15;
      codes[k + kRun + i] = source[i] >> 4;
    }
  }
}

template <std::size_t kRun>
void write_nibbles(const Codes* codes, std::size_t values, std::uint8_t* target) {
  for (std::size_t k = 0; k < values; k += 2 * kRun, target += kRun) {
    for (std::size_t i = 0; i < kRun; ++i) {
      target[i] = as_code((codes[k + i] & 15U) | (codes[k + kRun + i] & 15U) << 4);
    }
  }
}

void read_bytes(const std::byte* block, Codes* codes) noexcept {
  std::memcpy(codes, block + 2, 32);
}
void write_bytes(const Codes* codes, std::byte* block) noexcept {
  std::memcpy(block + 2, codes, 32);
}

// Q4_0, Q4_1, IQ4_NL (32 values) and IQ4_XS (8 such runs).
template <std::size_t kOffset, std::size_t kValues>
void read_4_bits(const std::byte* block, Codes* codes) noexcept {
  read_nibbles<16>(bytes_at(block, kOffset), kValues, codes);
}
template <std::size_t kOffset, std::size_t kValues>
void write_4_bits(const Codes* codes, std::byte* block) noexcept {
  write_nibbles<16>(codes, kValues, bytes_at(block, kOffset));
}

// Q5_0, Q5_1: fifth bits in a word at kOffset - 4.
template <std::size_t kOffset>
void read_5_bits(const std::byte* block, Codes* codes) noexcept {
  read_nibbles<16>(bytes_at(block, kOffset), 32, codes);
  std::uint32_t high;
  std::memcpy(&high, block + kOffset - 4, 4);
  for (unsigned i = 0; i < 32; ++i) codes[i] |= as_code((high >> i & 1) << 4);
}
template <std::size_t kOffset>
void write_5_bits(const Codes* codes, std::byte* block) noexcept {
  write_nibbles<16>(codes, 32, bytes_at(block, kOffset));
  std::uint32_t high = 0;
  for (unsigned i = 0; i < 32; ++i) high |= static_cast<std::uint32_t>(codes[i] >> 4 & 1) << i;
  std::memcpy(block + kOffset - 4, &high, 4);
}

void read_q4_k(const std::byte* block, Codes* codes) noexcept {
  read_nibbles<32>(bytes_at(block, 16), 256, codes);
}
void write_q4_k(const Codes* codes, std::byte* block) noexcept {
  write_nibbles<32>(codes, 256, bytes_at(block, 16));
}

// Bit c of byte i of the plane at 16 is the fifth bit of value 32c + i.
void read_q5_k(const std::byte* block, Codes* codes) noexcept {
  read_nibbles<32>(bytes_at(block, 48), 256, codes);
  const std::uint8_t* high = bytes_at(block, 16);
  for (std::size_t c = 0; c < 8; ++c) {
    for (std::size_t i = 0; i < 32; ++i) codes[32 * c + i] |= as_code((high[i] >> c & 1U) << 4);
  }
}
void write_q5_k(const Codes* codes, std::byte* block) noexcept {
  write_nibbles<32>(codes, 256, bytes_at(block, 48));
  std::uint8_t* high = bytes_at(block, 16);
  for (std::size_t i = 0; i < 32; ++i) {
    unsigned bits = 0;
    for (std::size_t c = 0; c < 8; ++c) bits |= (codes[32 * c + i] >> 4 & 1U) << c;
    high[i] = as_code(bits);
  }
}

// Two runs of 128 values. Low nibbles: 64 bytes a run, values 0-63 in the low halves. Upper two
// bits: 32 bytes a run, values 32c + i at bit 2c of byte i.
void read_q6_k(const std::byte* block, Codes* codes) noexcept {
  read_nibbles<64>(bytes_at(block, 0), 256, codes);
  for (std::size_t run = 0; run < 2; ++run) {
    const std::uint8_t* high = bytes_at(block, 128 + 32 * run);
    for (std::size_t c = 0; c < 4; ++c) {
      Codes* target = codes + 128 * run + 32 * c;
      for (std::size_t i = 0; i < 32; ++i) target[i] |= as_code((high[i] >> 2 * c & 3U) << 4);
    }
  }
}
void write_q6_k(const Codes* codes, std::byte* block) noexcept {
  write_nibbles<64>(codes, 256, bytes_at(block, 0));
  for (std::size_t run = 0; run < 2; ++run) {
    std::uint8_t* high = bytes_at(block, 128 + 32 * run);
    for (std::size_t i = 0; i < 32; ++i) {
      unsigned bits = 0;
      for (std::size_t c = 0; c < 4; ++c) {
        bits |= (codes[128 * run + 32 * c + i] >> 4 & 3U) << 2 * c;
      }
      high[i] = as_code(bits);
    }
  }
}

// Q2_K and the lower two bits of Q3_K: two runs of 128 values in 32 bytes each, values 32c + i at
// bit 2c of byte i.
void read_2_bits(const std::uint8_t* source, Codes* codes) {
  for (std::size_t run = 0; run < 2; ++run) {
    for (std::size_t c = 0; c < 4; ++c) {
      Codes* target = codes + 128 * run + 32 * c;
      for (std::size_t i = 0; i < 32; ++i) target[i] = source[32 * run + i] >> 2 * c & 3;
    }
  }
}
void write_2_bits(const Codes* codes, std::uint8_t* target) {
  for (std::size_t run = 0; run < 2; ++run) {
    for (std::size_t i = 0; i < 32; ++i) {
      unsigned bits = 0;
      for (std::size_t c = 0; c < 4; ++c) bits |= (codes[128 * run + 32 * c + i] & 3U) << 2 * c;
      target[32 * run + i] = as_code(bits);
    }
  }
}

void read_q2_k(const std::byte* block, Codes* codes) noexcept {
  read_2_bits(bytes_at(block, 16), codes);
}
void write_q2_k(const Codes* codes, std::byte* block) noexcept {
  write_2_bits(codes, bytes_at(block, 16));
}

// Third bits: bit c of byte i of the plane at 0 belongs to value 32c + i.
void read_q3_k(const std::byte* block, Codes* codes) noexcept {
  read_2_bits(bytes_at(block, 32), codes);
  const std::uint8_t* high = bytes_at(block, 0);
  for (std::size_t c = 0; c < 8; ++c) {
    for (std::size_t i = 0; i < 32; ++i) codes[32 * c + i] |= as_code((high[i] >> c & 1U) << 2);
  }
}
void write_q3_k(const Codes* codes, std::byte* block) noexcept {
  write_2_bits(codes, bytes_at(block, 32));
  std::uint8_t* high = bytes_at(block, 0);
  for (std::size_t i = 0; i < 32; ++i) {
    unsigned bits = 0;
    for (std::size_t c = 0; c < 8; ++c) bits |= (codes[32 * c + i] >> 2 & 1U) << c;
    high[i] = as_code(bits);
  }
}

constexpr CodeOrder kBytes{read_bytes, write_bytes};
constexpr CodeOrder kNibblesAt2{read_4_bits<2, 32>, write_4_bits<2, 32>};
constexpr CodeOrder kNibblesAt4{read_4_bits<4, 32>, write_4_bits<4, 32>};
constexpr CodeOrder kIq4Xs{read_4_bits<8, 256>, write_4_bits<8, 256>};
constexpr CodeOrder kFiveAt6{read_5_bits<6>, write_5_bits<6>};
constexpr CodeOrder kFiveAt8{read_5_bits<8>, write_5_bits<8>};
constexpr CodeOrder kQ2K{read_q2_k, write_q2_k};
constexpr CodeOrder kQ3K{read_q3_k, write_q3_k};
constexpr CodeOrder kQ4K{read_q4_k, write_q4_k};
constexpr CodeOrder kQ5K{read_q5_k, write_q5_k};
constexpr CodeOrder kQ6K{read_q6_k, write_q6_k};

// clang-format off
constexpr BlockLayout kLayouts[] = {
    // type          values bytes scale min subs sub_bytes low high zero
    {DType::kQ8_0,   32,    34,   0,    -1, 0,   0,        8,  0,   0,   kBytes},
    {DType::kQ4_0,   32,    18,   0,    -1, 0,   0,        4,  0,   8,   kNibblesAt2},
    {DType::kQ4_1,   32,    20,   0,    2,  0,   0,        4,  0,   0,   kNibblesAt4},
    {DType::kQ5_0,   32,    22,   0,    -1, 0,   0,        4,  1,   16,  kFiveAt6},
    {DType::kQ5_1,   32,    24,   0,    2,  0,   0,        4,  1,   0,   kFiveAt8},
    {DType::kQ2_K,   256,   84,   80,   82, 0,   16,       2,  0,   0,   kQ2K},
    {DType::kQ3_K,   256,   110,  108,  -1, 96,  12,       2,  1,   4,   kQ3K},
    {DType::kQ4_K,   256,   144,  0,    2,  4,   12,       4,  0,   0,   kQ4K},
    {DType::kQ5_K,   256,   176,  0,    2,  4,   12,       4,  1,   0,   kQ5K},
    {DType::kQ6_K,   256,   210,  208,  -1, 192, 16,       4,  2,   32,  kQ6K},
    {DType::kIQ4_NL, 32,    18,   0,    -1, 0,   0,        4,  0,   0,   kNibblesAt2},
    {DType::kIQ4_XS, 256,   136,  0,    -1, 2,   6,        4,  0,   0,   kIq4Xs},
};
// clang-format on

}  // namespace

std::span<const BlockLayout> block_layouts() noexcept { return kLayouts; }

const BlockLayout* find_block_layout(DType type) noexcept {
  for (const BlockLayout& layout : kLayouts) {
    if (layout.type == type) return &layout;
  }
  return nullptr;
}

}  // namespace paring::kernels
