// SPDX-License-Identifier: Apache-2.0
// Element types of tensors, by GGUF's names and ids. A type stores rows as whole blocks.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace paring {

enum class DType : std::uint32_t {
#define PARING_DTYPE(enumerator, name, id, block, bytes) enumerator = id,
#include "tensor/dtypes.def"
#undef PARING_DTYPE
};

struct DTypeInfo {
  DType type;
  const char* name;
  std::uint32_t block_values;  // values per block along a row
  std::uint32_t block_bytes;
  double bits_per_weight() const { return 8.0 * block_bytes / block_values; }
};

// REQUIRES: `type` is an enumerator.
const DTypeInfo& dtype_info(DType type) noexcept;
inline const char* dtype_name(DType type) noexcept { return dtype_info(type).name; }

// By GGUF id; nullopt when unknown.
std::optional<DType> dtype_from_id(std::uint32_t id) noexcept;
// By name, any case ("q4_0", "F16"); InvalidArgument lists the names.
Result<DType> dtype_from_name(std::string_view name);

// Bytes of one row of `columns` values. InvalidArgument when columns is not a whole number of
// blocks, with the types that would fit.
Result<std::uint64_t> dtype_row_bytes(DType type, std::uint64_t columns);

}  // namespace paring
