// SPDX-License-Identifier: Apache-2.0
// BF16: the upper half of an f32, rounded to nearest even.
#include "quant/format.h"
#include "quant/half.h"

namespace paring::quant {

namespace {

void decode_bf16(const std::byte* source, float* target, std::size_t values) noexcept {
  const auto* codes = reinterpret_cast<const std::uint16_t*>(source);
  for (std::size_t i = 0; i < values; ++i) target[i] = widen_bf16(codes[i]);
}

void encode_bf16(const float* source, const float* /*importance*/, std::byte* target,
                 std::size_t values) noexcept {
  auto* codes = reinterpret_cast<std::uint16_t*>(target);
  for (std::size_t i = 0; i < values; ++i) codes[i] = narrow_bf16(source[i]);
}

}  // namespace

extern const Format kFormatBF16;
const Format kFormatBF16{DType::kBF16, decode_bf16, encode_bf16, false};

}  // namespace paring::quant
