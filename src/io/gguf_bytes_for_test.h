// SPDX-License-Identifier: Apache-2.0
// For tests: builds the bytes of a GGUF file field by field, so that each may be wrong.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "io/metadata.h"
#include "tensor/dtype.h"

namespace paring::io {

class GgufBytes {
 public:
  template <typename T>
  GgufBytes& number(T value) {
    const auto* first = reinterpret_cast<const std::byte*>(&value);
    bytes_.insert(bytes_.end(), first, first + sizeof(value));
    return *this;
  }
  GgufBytes& u32(std::uint32_t value) { return number(value); }
  GgufBytes& u64(std::uint64_t value) { return number(value); }
  GgufBytes& raw(std::string_view text) {
    const auto* first = reinterpret_cast<const std::byte*>(text.data());
    bytes_.insert(bytes_.end(), first, first + text.size());
    return *this;
  }
  GgufBytes& text(std::string_view value) { return u64(value.size()).raw(value); }
  GgufBytes& header(std::uint64_t tensors, std::uint64_t keys, std::uint32_t version = 3) {
    return raw("GGUF").u32(version).u64(tensors).u64(keys);
  }
  GgufBytes& key(std::string_view name, GgufValueType type) {
    return text(name).u32(static_cast<std::uint32_t>(type));
  }
  GgufBytes& array(GgufValueType element, std::uint64_t count) {
    return u32(static_cast<std::uint32_t>(element)).u64(count);
  }
  GgufBytes& tensor(std::string_view name, std::vector<std::uint64_t> shape, std::uint32_t type,
                    std::uint64_t offset) {
    text(name).u32(static_cast<std::uint32_t>(shape.size()));
    for (const std::uint64_t length : shape) u64(length);
    return u32(type).u64(offset);
  }
  GgufBytes& pad(std::size_t alignment = 32) {
    bytes_.resize((bytes_.size() + alignment - 1) / alignment * alignment);
    return *this;
  }
  GgufBytes& zeros(std::size_t count) {
    bytes_.resize(bytes_.size() + count);
    return *this;
  }

  std::span<const std::byte> bytes() const { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

inline constexpr std::uint32_t kIdF32 = 0;
inline constexpr std::uint32_t kIdQ8_0 = 8;

}  // namespace paring::io
