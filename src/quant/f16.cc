// SPDX-License-Identifier: Apache-2.0
// F16: IEEE half precision, rounded to nearest even.
#include "quant/format.h"
#include "quant/half.h"

namespace paring::quant {

namespace {

void decode_f16(const std::byte* source, float* target, std::size_t values) noexcept {
  const auto* codes = reinterpret_cast<const std::uint16_t*>(source);
  for (std::size_t i = 0; i < values; ++i) target[i] = widen_f16(codes[i]);
}

void encode_f16(const float* source, const float* /*importance*/, std::byte* target,
                std::size_t values) noexcept {
  auto* codes = reinterpret_cast<std::uint16_t*>(target);
  for (std::size_t i = 0; i < values; ++i) codes[i] = narrow_f16(source[i]);
}

}  // namespace

extern const Format kFormatF16;
const Format kFormatF16{DType::kF16, decode_f16, encode_f16, false};

}  // namespace paring::quant
