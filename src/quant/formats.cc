// SPDX-License-Identifier: Apache-2.0
#include "quant/format.h"

#include <fmt/format.h>

#include <array>
#include <string>
#include <vector>

#include "base/text.h"
#include "quant/half.h"

namespace paring::quant {

// The one list of formats: a new one is a file that defines kFormat<NAME> and a line here.
#define PARING_FORMATS(X) \
  X(F32)                  \
  X(F16)                  \
  X(BF16)                 \
  X(Q8_0)                 \
  X(Q6_K)                 \
  X(Q5_1)                 \
  X(Q5_0)                 \
  X(Q5_K)                 \
  X(Q4_1)                 \
  X(Q4_0)                 \
  X(IQ4_NL)               \
  X(Q4_K)                 \
  X(IQ4_XS)               \
  X(Q3_K)                 \
  X(Q2_K)

#define PARING_X(name) extern const Format kFormat##name;
PARING_FORMATS(PARING_X)
#undef PARING_X

std::span<const Format> formats() noexcept {
  static const std::array list = {
#define PARING_X(name) kFormat##name,
      PARING_FORMATS(PARING_X)
#undef PARING_X
  };
  return list;
}

const Format* find_format(DType type) noexcept {
  for (const Format& format : formats()) {
    if (format.type == type) return &format;
  }
  return nullptr;
}

std::string format_names() {
  std::string names;
  for (const Format& format : formats()) {
    if (!names.empty()) names += ", ";
    names += dtype_name(format.type);
  }
  return names;
}

Result<const Format*> require_format(DType type) {
  if (const Format* format = find_format(type)) return format;
  return unsupported(fmt::format("no codec for type {}", dtype_name(type)),
                     "types that can be read and written: " + format_names());
}

Result<DType> writable_type(std::string_view name) {
  const Result<DType> type = dtype_from_name(name);
  if (type && find_format(*type) != nullptr) return *type;
  std::vector<std::string> names;
  for (const Format& format : formats()) names.emplace_back(dtype_name(format.type));
  const std::string meant = nearest_name(name, names);
  const std::string hint = (meant.empty() ? std::string() : "did you mean " + meant + "? ") +
                           "Types that can be written: " + format_names();
  if (type) return unsupported(fmt::format("cannot write type '{}'", dtype_name(*type)), hint);
  return invalid_argument(fmt::format("unknown type '{}'", escape_control(name)), hint);
}

float f16_to_f32(std::uint16_t half) noexcept { return widen_f16(half); }
std::uint16_t f32_to_f16(float value) noexcept { return narrow_f16(value); }
float bf16_to_f32(std::uint16_t brain) noexcept { return widen_bf16(brain); }
std::uint16_t f32_to_bf16(float value) noexcept { return narrow_bf16(value); }

}  // namespace paring::quant
