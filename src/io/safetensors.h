// SPDX-License-Identifier: Apache-2.0
// The header of a safetensors file: which tensors, of which type and shape, where. Checked as a
// whole: offsets lie in the file, tensors follow each other without holes or overlaps, and the
// bytes of each follow from its shape. Stateless. Source: the safetensors format description.
//
//   PARING_TRY(io::MappedFile map, io::MappedFile::open(path));
//   PARING_TRY(io::SafetensorsHeader header, io::parse_safetensors(map.bytes(), path));
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "tensor/dtype.h"

namespace paring::io {

inline constexpr std::uint64_t kSafetensorsHeaderBytesMax = std::uint64_t{64} << 20;
inline constexpr std::uint64_t kSafetensorsLengthBytes = 8;  // that say how long the header is
inline constexpr std::uint64_t kSafetensorsTensorsMax = std::uint64_t{1} << 18;
inline constexpr std::uint64_t kSafetensorsDimensionsMax = 8;
inline constexpr std::uint64_t kSafetensorsNameBytesMax = 1024;

struct SafetensorsTensor {
  std::string name;
  std::string type_name;             // as the file says: "BF16"
  std::optional<DType> type;         // F32, F16, BF16; empty for types that hold no weights here
  std::vector<std::uint64_t> shape;  // the last dimension is contiguous; empty for a scalar
  std::uint64_t offset = 0;          // from the start of the file
  std::uint64_t bytes = 0;
};

struct SafetensorsHeader {
  std::vector<SafetensorsTensor> tensors;  // by offset
};

// `source` is the name used in messages. Corrupt: cut, or inconsistent. Unsupported: a type name
// that is not one of the format's. Exhausted: a limit above.
Result<SafetensorsHeader> parse_safetensors(std::span<const std::byte> file,
                                            const std::string& source);
// The same of a file of `file_bytes` bytes of which only the beginning is in memory, at least
// safetensors_header_bytes() of it.
Result<SafetensorsHeader> parse_safetensors_beginning(std::span<const std::byte> beginning,
                                                      std::uint64_t file_bytes,
                                                      const std::string& source);
// What its first bytes say: where in a file of `file_bytes` bytes the tensors begin. Errors as
// parse_safetensors(). REQUIRES: `beginning` is the file, or at least kSafetensorsLengthBytes.
Result<std::uint64_t> safetensors_header_bytes(std::span<const std::byte> beginning,
                                               std::uint64_t file_bytes, const std::string& source);

// Bits of one value of a type by the format's name, nullopt when it has no such type.
std::optional<std::uint64_t> safetensors_type_bits(const std::string& type_name) noexcept;
// The format's name of a type that it can hold: F32, F16, BF16; null otherwise.
const char* safetensors_type_name(DType type) noexcept;

}  // namespace paring::io
