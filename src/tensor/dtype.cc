// SPDX-License-Identifier: Apache-2.0
#include "tensor/dtype.h"

#include <fmt/format.h>

#include <array>

#include "base/text.h"

namespace paring {

namespace {
constexpr std::array kInfos = {
#define PARING_DTYPE(enumerator, name, id, block, bytes) \
  DTypeInfo{DType::enumerator, name, block, bytes},
#include "tensor/dtypes.def"
#undef PARING_DTYPE
};
}  // namespace

const DTypeInfo& dtype_info(DType type) noexcept {
  for (const DTypeInfo& info : kInfos) {
    if (info.type == type) return info;
  }
  PARING_CHECK(false, "DType value outside tensor/dtypes.def");
  return kInfos[0];
}

std::optional<DType> dtype_from_id(std::uint32_t id) noexcept {
  for (const DTypeInfo& info : kInfos) {
    if (static_cast<std::uint32_t>(info.type) == id) return info.type;
  }
  return std::nullopt;
}

Result<DType> dtype_from_name(std::string_view name) {
  const std::string upper = ascii_upper(name);
  std::string names;
  for (const DTypeInfo& info : kInfos) {
    if (upper == info.name) return info.type;
    names += names.empty() ? "" : ", ";
    names += info.name;
  }
  return invalid_argument(fmt::format("unknown type '{}'", name), "known types: " + names);
}

Result<std::uint64_t> dtype_row_bytes(DType type, std::uint64_t columns) {
  const DTypeInfo& info = dtype_info(type);
  if (columns % info.block_values != 0) {
    return invalid_argument(
        fmt::format("{} stores blocks of {} values, a row of {} is not a whole number of them",
                    info.name, info.block_values, columns),
        columns % 32 == 0 ? "types with blocks of 32 fit: Q8_0, Q5_1, Q5_0, Q4_1, Q4_0, IQ4_NL"
                          : "F32, F16 and BF16 fit any row");
  }
  return columns / info.block_values * info.block_bytes;
}

}  // namespace paring
