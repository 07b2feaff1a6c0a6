// SPDX-License-Identifier: Apache-2.0
// Metadata: an ordered key -> typed value map: that of a GGUF file, or a JSON object
// (io/json_object.h). Getters accept any integer width
// that holds the value and say in their errors which file and key, what was found and what is
// needed. Plain data: thread-compatible.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.h"

namespace paring::io {

// Ids as in the GGUF specification.
enum class GgufValueType : std::uint32_t {
  kU8 = 0,
  kI8 = 1,
  kU16 = 2,
  kI16 = 3,
  kU32 = 4,
  kI32 = 5,
  kF32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kU64 = 10,
  kI64 = 11,
  kF64 = 12,
};

// "u32", "string", ...
const char* gguf_value_type_name(GgufValueType type) noexcept;

// Items are kept in the widest type of their kind; `element` is what the file holds.
struct GgufArray {
  GgufValueType element = GgufValueType::kU8;
  std::variant<std::vector<std::uint64_t>,  // u8, u16, u32, u64, bool
               std::vector<std::int64_t>,   // i8, i16, i32, i64
               std::vector<double>,         // f32, f64
               std::vector<std::string>,    // string
               std::vector<GgufArray>>      // array
      items;

  std::size_t size() const noexcept;
  bool operator==(const GgufArray&) const = default;
};

struct GgufValue {
  GgufValueType type = GgufValueType::kU8;
  std::variant<std::uint64_t,  // u8, u16, u32, u64, bool
               std::int64_t,   // i8, i16, i32, i64
               double,         // f32, f64
               std::string, GgufArray>
      data;

  static GgufValue of_u32(std::uint32_t value) {
    return {GgufValueType::kU32, std::uint64_t{value}};
  }
  static GgufValue of_u64(std::uint64_t value) { return {GgufValueType::kU64, value}; }
  static GgufValue of_i32(std::int32_t value) { return {GgufValueType::kI32, std::int64_t{value}}; }
  static GgufValue of_i64(std::int64_t value) { return {GgufValueType::kI64, value}; }
  static GgufValue of_f32(float value) { return {GgufValueType::kF32, double{value}}; }
  static GgufValue of_f64(double value) { return {GgufValueType::kF64, value}; }
  static GgufValue of_bool(bool value) { return {GgufValueType::kBool, std::uint64_t{value}}; }
  static GgufValue of_string(std::string value) {
    return {GgufValueType::kString, std::move(value)};
  }
  static GgufValue of_strings(std::vector<std::string> values);
  static GgufValue of_i32_array(std::span<const std::int32_t> values);
  static GgufValue of_f32_array(std::span<const float> values);

  bool operator==(const GgufValue&) const = default;
};

// Where keys come from decides how errors call them and what they advise.
enum class MetadataOrigin { kGguf, kJson };

class Metadata {
 public:
  using Entry = std::pair<std::string, GgufValue>;

  bool has(std::string_view key) const { return find(key) != nullptr; }
  // Null when the key is absent.
  const GgufValue* find(std::string_view key) const;

  // NotFound when the key is absent, Corrupt when its type or value does not fit.
  Result<std::uint64_t> get_u64(std::string_view key) const;
  Result<std::int64_t> get_i64(std::string_view key) const;
  // f32, f64, and integers.
  Result<double> get_f64(std::string_view key) const;
  Result<bool> get_bool(std::string_view key) const;
  Result<std::string> get_string(std::string_view key) const;
  // The default for an absent key; a wrong type is still Corrupt.
  Result<std::uint64_t> u64_or(std::string_view key, std::uint64_t otherwise) const;
  Result<std::int64_t> i64_or(std::string_view key, std::int64_t otherwise) const;
  Result<double> f64_or(std::string_view key, double otherwise) const;
  Result<bool> bool_or(std::string_view key, bool otherwise) const;
  Result<std::string> string_or(std::string_view key, std::string otherwise) const;

  // A view into this map: valid until the key is set or erased, or the map destroyed.
  Result<std::span<const std::string>> strings(std::string_view key) const;
  // Arrays of any integer type whose items fit.
  Result<std::vector<std::int32_t>> i32_array(std::string_view key) const;
  Result<std::vector<float>> f32_array(std::string_view key) const;
  // Arrays of numbers of any type.
  Result<std::vector<double>> f64_array(std::string_view key) const;

  // Replaces in place or appends.
  void set(std::string_view key, GgufValue value);
  // False when the key was absent.
  bool erase(std::string_view key);

  // JSON's null: the key counts as absent, but a reader with another default may want to know.
  void set_null(std::string_view key) { nulls_.emplace(key); }
  bool is_null(std::string_view key) const { return nulls_.contains(key); }
  const std::set<std::string, std::less<>>& nulls() const noexcept { return nulls_; }

  // In the file's order.
  const std::vector<Entry>& entries() const noexcept { return entries_; }
  std::size_t size() const noexcept { return entries_.size(); }

  // The file's name, for messages.
  void set_source(std::string source, MetadataOrigin origin = MetadataOrigin::kGguf) {
    source_ = std::move(source);
    origin_ = origin;
  }
  const std::string& source() const noexcept { return source_; }

 private:
  Result<const GgufValue*> require(std::string_view key) const;
  Result<const GgufArray*> require_array(std::string_view key) const;
  Error mismatch(std::string_view key, const GgufValue& value, std::string_view needed) const;

  std::vector<Entry> entries_;
  std::map<std::string, std::size_t, std::less<>> index_;  // key -> position in entries_
  std::set<std::string, std::less<>> nulls_;
  std::string source_;
  MetadataOrigin origin_ = MetadataOrigin::kGguf;
};

}  // namespace paring::io
