// SPDX-License-Identifier: Apache-2.0
#include "shrink/type_choice.h"

#include <fmt/format.h>

#include <string>

#include "quant/format.h"

namespace paring::shrink {

namespace {

constexpr const char* kTypeKey = "paring.quantize.type";
constexpr const char* kFallbackKey = "paring.quantize.fallback";
constexpr const char* kFallbackTensorsKey = "paring.quantize.fallback_tensors";

Error does_not_fit(Error error, const model::MatrixSlot& slot, bool has_fallback) {
  if (!has_fallback) error.hint += "; --fallback TYPE names what such tensors take instead";
  return std::move(error).with_context(fmt::format("tensor '{}'", slot.name));
}

}  // namespace

Result<TypeChoice> choose_types(std::span<const model::MatrixSlot> slots, DType type,
                                std::optional<DType> fallback) {
  if (auto known = quant::require_format(type); !known) return known.error();
  if (auto known = quant::require_format(fallback.value_or(type)); !known) return known.error();
  TypeChoice choice;
  for (std::size_t i = 0; i < slots.size(); ++i) {
    const model::MatrixSlot& slot = slots[i];
    auto bytes = dtype_row_bytes(type, slot.cols);
    const bool is_fallback = !bytes && fallback.has_value();
    if (is_fallback) bytes = dtype_row_bytes(*fallback, slot.cols);
    if (!bytes) return does_not_fit(std::move(bytes.error()), slot, fallback.has_value());
    choice.types.push_back(is_fallback ? *fallback : type);
    if (is_fallback) choice.fallback_slots.push_back(i);
  }
  return choice;
}

io::Metadata choice_metadata(std::span<const model::MatrixSlot> slots, const TypeChoice& choice,
                             DType type, std::optional<DType> fallback) {
  io::Metadata metadata;
  metadata.set(kTypeKey, io::GgufValue::of_string(dtype_name(type)));
  if (choice.fallback_slots.empty()) return metadata;
  std::vector<std::string> names;
  for (const std::size_t slot : choice.fallback_slots) names.push_back(slots[slot].name);
  metadata.set(kFallbackKey, io::GgufValue::of_string(dtype_name(fallback.value())));
  metadata.set(kFallbackTensorsKey, io::GgufValue::of_strings(std::move(names)));
  return metadata;
}

}  // namespace paring::shrink
