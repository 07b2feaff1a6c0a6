// SPDX-License-Identifier: Apache-2.0
#include "kernels/self_check.h"

#include <array>
#include <cstring>

#include "quant/format.h"

namespace paring::kernels {
namespace {

constexpr std::size_t kRows = 21;
constexpr std::size_t kCols = 256;
constexpr std::size_t kTokens = 27;  // tiles of 14 and 13, or of 16 and 11
constexpr std::size_t kRowBytesMax = kCols * 2;

using Values = std::array<float, kTokens * kCols>;
using Products = std::array<float, kTokens * kRows>;

// Values in -1..1 that follow no pattern of the tiles (a linear congruential generator: Knuth, The
// Art of Computer Programming, vol. 2, sec. 3.3.4).
void fill(std::span<float> values, std::uint32_t state) {
  for (float& value : values) {
    state = state * 1664525U + 1013904223U;
    value = static_cast<float>(state >> 8) * 0x1p-23F - 1.0F;
  }
}

// False: no memory.
bool multiply(const KernelTable& table, const PackedMatrix& w, const Values& x, Products& y) {
  auto memory = AlignedBuffer::create(QuantizedRows::bytes(kTokens, kCols));
  if (!memory) return false;
  const QuantizedRows rows = QuantizedRows::place(memory->data(), kTokens, kCols);
  table.quantize_rows(x.data(), kTokens, kCols, kCols, rows);
  table.matmul_q(w, rows, kTokens, y.data(), kRows, {0, w.panels()});
  return true;
}

}  // namespace

bool gives_same_products(const KernelTable& left, const KernelTable& right) noexcept {
  Values x;
  fill(x, 1);
  std::array<float, kRows * kCols> weights;
  fill(weights, 2);
  for (const DType type : {DType::kQ8_0, DType::kQ4_0, DType::kQ5_1, DType::kQ2_K, DType::kQ6_K}) {
    alignas(64) std::array<std::byte, kRows * kRowBytesMax> bytes;
    quant::find_format(type)->encode(weights.data(), nullptr, bytes.data(), weights.size());
    const auto w = pack(type, bytes.data(), kRows, kCols);
    Products ours;
    Products theirs;
    if (!w || !multiply(left, *w, x, ours) || !multiply(right, *w, x, theirs)) return false;
    if (std::memcmp(ours.data(), theirs.data(), sizeof(ours)) != 0) return false;
  }
  return true;
}

}  // namespace paring::kernels
