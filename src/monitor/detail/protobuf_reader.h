// SPDX-License-Identifier: Apache-2.0
// Fields of one message of Protocol Buffers in the order they stand, without copying. Messages in
// it are bytes, which another reader reads: nothing here recurses. Belongs to one thread.
//
//   ProtobufReader reader(bytes);
//   while (const auto field = reader.next()) ...
//   if (reader.has_failed()) ...
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "base/varint.h"

namespace paring::monitor::detail {

struct ProtobufField {
  enum class Type : std::uint8_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };
  std::uint64_t number = 0;
  Type type = Type::kVarint;
  std::uint64_t value = 0;                // of a number
  std::span<const std::uint8_t> bytes{};  // of kBytes
};

class ProtobufReader {
 public:
  explicit ProtobufReader(std::span<const std::uint8_t> bytes) : rest_(bytes) {}

  // Nothing at the end, and where the bytes are no message.
  std::optional<ProtobufField> next() {
    if (rest_.empty()) return std::nullopt;
    const std::optional<std::uint64_t> tag = take_varint(rest_);
    if (!tag || *tag >> 3 == 0) return fail();
    ProtobufField field;
    field.number = *tag >> 3;
    field.type = static_cast<ProtobufField::Type>(*tag & 7);
    switch (field.type) {
      case ProtobufField::Type::kVarint: {
        const std::optional<std::uint64_t> value = take_varint(rest_);
        if (!value) return fail();
        field.value = *value;
        return field;
      }
      case ProtobufField::Type::kFixed64:
        return take_fixed(field, 8);
      case ProtobufField::Type::kFixed32:
        return take_fixed(field, 4);
      case ProtobufField::Type::kBytes: {
        const std::optional<std::uint64_t> size = take_varint(rest_);
        if (!size || *size > rest_.size()) return fail();
        field.bytes = rest_.first(*size);
        rest_ = rest_.subspan(*size);
        return field;
      }
    }
    return fail();  // groups, which nobody writes any more
  }
  bool has_failed() const noexcept { return has_failed_; }

 private:
  std::optional<ProtobufField> fail() {
    has_failed_ = true;
    rest_ = {};
    return std::nullopt;
  }
  std::optional<ProtobufField> take_fixed(ProtobufField field, std::size_t bytes) {
    if (rest_.size() < bytes) return fail();
    for (std::size_t i = 0; i < bytes; ++i) field.value |= std::uint64_t{rest_[i]} << (8 * i);
    rest_ = rest_.subspan(bytes);
    return field;
  }

  std::span<const std::uint8_t> rest_;
  bool has_failed_ = false;
};

}  // namespace paring::monitor::detail
