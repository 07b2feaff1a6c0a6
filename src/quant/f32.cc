// SPDX-License-Identifier: Apache-2.0
// F32: values as they are.
#include <cstring>

#include "quant/format.h"

namespace paring::quant {

namespace {

void decode_f32(const std::byte* source, float* target, std::size_t values) noexcept {
  if (values != 0) std::memcpy(target, source, values * sizeof(float));
}

void encode_f32(const float* source, const float* /*importance*/, std::byte* target,
                std::size_t values) noexcept {
  if (values != 0) std::memcpy(target, source, values * sizeof(float));
}

}  // namespace

extern const Format kFormatF32;
const Format kFormatF32{DType::kF32, decode_f32, encode_f32, false};

}  // namespace paring::quant
