// SPDX-License-Identifier: Apache-2.0
// Block formats: how a type's rows are laid out in files, and their reference encode and decode.
// One file a format (quant/q4_0.cc), one line in quant/formats.cc. Layouts are ggml's, bit for bit.
// Stateless and thread-safe. Source: GGUF specification; ggml block structures.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "tensor/dtype.h"

namespace paring::quant {

struct Format {
  DType type;
  // Decodes `values` (a multiple of the block length) from `source` to f32; exact.
  void (*decode)(const std::byte* source, float* target, std::size_t values) noexcept;
  // Encodes one row of `values` f32. `importance` is null or holds one non-negative weight per
  // value (mean square of the input activations, the imatrix): the codes and scales then minimise
  // sum importance[i] * (x[i] - decoded[i])^2, otherwise a weighting by the values' own magnitude.
  // The scale is searched, not taken from the maximum. Non-finite inputs are a caller's bug.
  void (*encode)(const float* source, const float* importance, std::byte* target,
                 std::size_t values) noexcept;
  bool is_block_quantized;  // false for F32, F16, BF16
};

// Every format that can be loaded, encoded and computed with.
std::span<const Format> formats() noexcept;
// Null when the type has no codec.
const Format* find_format(DType type) noexcept;
// As find_format, with an Unsupported error that lists the known types.
Result<const Format*> require_format(DType type);
// "F32, F16, ...": the types of formats().
std::string format_names();
// The type called `name`, in letters of either case. InvalidArgument when there is none,
// Unsupported when it has no codec; both list what can be written.
Result<DType> writable_type(std::string_view name);

// Scalar conversions, IEEE round to nearest even; NaN stays NaN.
float f16_to_f32(std::uint16_t half) noexcept;
std::uint16_t f32_to_f16(float value) noexcept;
float bf16_to_f32(std::uint16_t brain) noexcept;
std::uint16_t f32_to_bf16(float value) noexcept;

}  // namespace paring::quant
