// SPDX-License-Identifier: Apache-2.0
#include "io/metadata.h"

#include <fmt/format.h>

#include <limits>
#include <optional>

namespace paring::io {

const char* gguf_value_type_name(GgufValueType type) noexcept {
  static constexpr const char* kNames[] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                           "bool", "string", "array", "u64", "i64", "f64"};
  const auto id = static_cast<std::size_t>(type);
  return id < std::size(kNames) ? kNames[id] : "unknown";
}

std::size_t GgufArray::size() const noexcept {
  return std::visit([](const auto& list) { return list.size(); }, items);
}

GgufValue GgufValue::of_strings(std::vector<std::string> values) {
  return {GgufValueType::kArray, GgufArray{GgufValueType::kString, std::move(values)}};
}

GgufValue GgufValue::of_i32_array(std::span<const std::int32_t> values) {
  return {GgufValueType::kArray,
          GgufArray{GgufValueType::kI32, std::vector<std::int64_t>(values.begin(), values.end())}};
}

GgufValue GgufValue::of_f32_array(std::span<const float> values) {
  return {GgufValueType::kArray,
          GgufArray{GgufValueType::kF32, std::vector<double>(values.begin(), values.end())}};
}

namespace {

// "u32 7", "string of 12 bytes", "array of 3 f32".
std::string describe(const GgufValue& value) {
  if (const auto* array = std::get_if<GgufArray>(&value.data)) {
    return fmt::format("an array of {} {}", array->size(), gguf_value_type_name(array->element));
  }
  if (const auto* text = std::get_if<std::string>(&value.data)) {
    return fmt::format("a string of {} bytes", text->size());
  }
  const char* type = gguf_value_type_name(value.type);
  if (const auto* number = std::get_if<std::uint64_t>(&value.data)) {
    return fmt::format("{} {}", type, *number);
  }
  if (const auto* number = std::get_if<std::int64_t>(&value.data)) {
    return fmt::format("{} {}", type, *number);
  }
  return fmt::format("{} {}", type, std::get<double>(value.data));
}

std::optional<std::int64_t> as_i64(const GgufValue& value) {
  if (value.type == GgufValueType::kBool) return std::nullopt;
  if (const auto* number = std::get_if<std::int64_t>(&value.data)) return *number;
  const auto* number = std::get_if<std::uint64_t>(&value.data);
  if (number == nullptr || *number > std::uint64_t{std::numeric_limits<std::int64_t>::max()}) {
    return std::nullopt;
  }
  return static_cast<std::int64_t>(*number);
}

std::optional<std::uint64_t> as_u64(const GgufValue& value) {
  if (value.type == GgufValueType::kBool) return std::nullopt;
  if (const auto* number = std::get_if<std::uint64_t>(&value.data)) return *number;
  const auto* number = std::get_if<std::int64_t>(&value.data);
  if (number == nullptr || *number < 0) return std::nullopt;
  return static_cast<std::uint64_t>(*number);
}

}  // namespace

const GgufValue* Metadata::find(std::string_view key) const {
  const auto found = index_.find(key);
  return found == index_.end() ? nullptr : &entries_[found->second].second;
}

Result<const GgufValue*> Metadata::require(std::string_view key) const {
  if (const GgufValue* value = find(key)) return value;
  if (origin_ == MetadataOrigin::kJson) {
    return not_found(fmt::format("{}: '{}' is missing", source_, key),
                     "the file is incomplete or of a kind that is not known");
  }
  return not_found(fmt::format("{}: metadata key '{}' is missing", source_, key),
                   "the file was written by a converter that does not know this architecture, or "
                   "is not a complete model");
}

Error Metadata::mismatch(std::string_view key, const GgufValue& value,
                         std::string_view needed) const {
  if (origin_ == MetadataOrigin::kJson) {
    return corrupt(
        fmt::format("{}: '{}' holds {}, needed is {}", source_, key, describe(value), needed),
        "the file is damaged or was edited; fetch it again");
  }
  return corrupt(fmt::format("{}: metadata key '{}' holds {}, needed is {}", source_, key,
                             describe(value), needed),
                 "convert the model again with a current converter");
}

Result<std::uint64_t> Metadata::get_u64(std::string_view key) const {
  PARING_TRY(const GgufValue* value, require(key));
  if (const auto number = as_u64(*value)) return *number;
  return mismatch(key, *value, "an integer that is not negative");
}

Result<std::int64_t> Metadata::get_i64(std::string_view key) const {
  PARING_TRY(const GgufValue* value, require(key));
  if (const auto number = as_i64(*value)) return *number;
  return mismatch(key, *value, "an integer of at most 63 bits");
}

Result<double> Metadata::get_f64(std::string_view key) const {
  PARING_TRY(const GgufValue* value, require(key));
  if (const auto* number = std::get_if<double>(&value->data)) return *number;
  if (const auto number = as_i64(*value)) return static_cast<double>(*number);
  return mismatch(key, *value, "a number");
}

Result<bool> Metadata::get_bool(std::string_view key) const {
  PARING_TRY(const GgufValue* value, require(key));
  if (value->type != GgufValueType::kBool) return mismatch(key, *value, "a bool");
  return std::get<std::uint64_t>(value->data) != 0;
}

Result<std::string> Metadata::get_string(std::string_view key) const {
  PARING_TRY(const GgufValue* value, require(key));
  if (const auto* text = std::get_if<std::string>(&value->data)) return *text;
  return mismatch(key, *value, "a string");
}

Result<std::uint64_t> Metadata::u64_or(std::string_view key, std::uint64_t otherwise) const {
  return has(key) ? get_u64(key) : otherwise;
}
Result<std::int64_t> Metadata::i64_or(std::string_view key, std::int64_t otherwise) const {
  return has(key) ? get_i64(key) : otherwise;
}
Result<double> Metadata::f64_or(std::string_view key, double otherwise) const {
  return has(key) ? get_f64(key) : otherwise;
}
Result<bool> Metadata::bool_or(std::string_view key, bool otherwise) const {
  return has(key) ? get_bool(key) : otherwise;
}
Result<std::string> Metadata::string_or(std::string_view key, std::string otherwise) const {
  return has(key) ? get_string(key) : std::move(otherwise);
}

Result<const GgufArray*> Metadata::require_array(std::string_view key) const {
  PARING_TRY(const GgufValue* value, require(key));
  if (const auto* array = std::get_if<GgufArray>(&value->data)) return array;
  return mismatch(key, *value, "an array");
}

Result<std::span<const std::string>> Metadata::strings(std::string_view key) const {
  PARING_TRY(const GgufArray* array, require_array(key));
  if (const auto* list = std::get_if<std::vector<std::string>>(&array->items)) {
    return std::span<const std::string>(*list);
  }
  return mismatch(key, *find(key), "an array of strings");
}

Result<std::vector<std::int32_t>> Metadata::i32_array(std::string_view key) const {
  PARING_TRY(const GgufArray* array, require_array(key));
  std::vector<std::int32_t> out;
  out.reserve(array->size());
  const auto add_all = [&](const auto& list) {
    for (const auto item : list) {
      if (!std::in_range<std::int32_t>(item)) return false;
      out.push_back(static_cast<std::int32_t>(item));
    }
    return true;
  };
  bool fits = false;
  if (const auto* list = std::get_if<std::vector<std::int64_t>>(&array->items)) {
    fits = add_all(*list);
  } else if (const auto* positive = std::get_if<std::vector<std::uint64_t>>(&array->items)) {
    fits = array->element != GgufValueType::kBool && add_all(*positive);
  }
  if (!fits) return mismatch(key, *find(key), "an array of 32-bit integers");
  return out;
}

Result<std::vector<float>> Metadata::f32_array(std::string_view key) const {
  PARING_TRY(const GgufArray* array, require_array(key));
  const auto* list = std::get_if<std::vector<double>>(&array->items);
  if (list == nullptr) return mismatch(key, *find(key), "an array of f32");
  std::vector<float> out;
  out.reserve(list->size());
  for (const double item : *list) out.push_back(static_cast<float>(item));
  return out;
}

Result<std::vector<double>> Metadata::f64_array(std::string_view key) const {
  PARING_TRY(const GgufArray* array, require_array(key));
  std::vector<double> out;
  out.reserve(array->size());
  const auto add_all = [&](const auto& list) {
    for (const auto item : list) out.push_back(static_cast<double>(item));
    return true;
  };
  bool fits = false;
  if (const auto* reals = std::get_if<std::vector<double>>(&array->items)) {
    fits = add_all(*reals);
  } else if (const auto* integers = std::get_if<std::vector<std::int64_t>>(&array->items)) {
    fits = add_all(*integers);
  } else if (const auto* naturals = std::get_if<std::vector<std::uint64_t>>(&array->items)) {
    fits = array->element != GgufValueType::kBool && add_all(*naturals);
  }
  if (!fits) return mismatch(key, *find(key), "an array of numbers");
  return out;
}

void Metadata::set(std::string_view key, GgufValue value) {
  const auto found = index_.find(key);
  if (found != index_.end()) {
    entries_[found->second].second = std::move(value);
    return;
  }
  index_.emplace(key, entries_.size());
  entries_.emplace_back(key, std::move(value));
}

bool Metadata::erase(std::string_view key) {
  const auto found = index_.find(key);
  if (found == index_.end()) return false;
  const std::size_t position = found->second;
  entries_.erase(entries_.begin() + static_cast<std::ptrdiff_t>(position));
  index_.erase(found);
  for (auto& [name, where] : index_) {
    if (where > position) --where;
  }
  return true;
}

}  // namespace paring::io
