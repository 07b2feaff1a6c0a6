// SPDX-License-Identifier: Apache-2.0
// Messages of Protocol Buffers (its documentation, "Encoding"): fields are appended in the order
// that they are put. Belongs to one thread.
//
//   ProtobufWriter point;
//   point.put_fixed64(3, time);
//   metric.put_message(1, point);
#pragma once

#include <bit>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace paring::monitor::detail {

class ProtobufWriter {
 public:
  void put_varint(std::uint32_t field, std::uint64_t value) {
    tag(field, 0);
    varint(value);
  }
  void put_fixed64(std::uint32_t field, std::uint64_t value) {
    tag(field, 1);
    fixed64(value);
  }
  void put_double(std::uint32_t field, double value) {
    put_fixed64(field, std::bit_cast<std::uint64_t>(value));
  }
  void put_bytes(std::uint32_t field, std::string_view bytes) {
    tag(field, 2);
    varint(bytes.size());
    bytes_ += bytes;
  }
  void put_message(std::uint32_t field, const ProtobufWriter& message) {
    put_bytes(field, message.bytes_);
  }
  void put_packed(std::uint32_t field, std::span<const std::uint64_t> values) {
    tag(field, 2);
    varint(values.size() * 8);
    for (const std::uint64_t value : values) fixed64(value);
  }
  void put_packed(std::uint32_t field, std::span<const double> values) {
    tag(field, 2);
    varint(values.size() * 8);
    for (const double value : values) fixed64(std::bit_cast<std::uint64_t>(value));
  }
  const std::string& bytes() const noexcept { return bytes_; }

 private:
  void tag(std::uint32_t field, std::uint32_t type) { varint((std::uint64_t{field} << 3) | type); }
  void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>((value & 0x7f) | 0x80);
    bytes_ += static_cast<char>(value);
  }
  void fixed64(std::uint64_t value) {
    for (int i = 0; i < 8; ++i, value >>= 8) bytes_ += static_cast<char>(value & 0xff);
  }

  std::string bytes_;
};

}  // namespace paring::monitor::detail
