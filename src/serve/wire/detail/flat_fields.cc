// SPDX-License-Identifier: Apache-2.0
#include "serve/wire/detail/flat_fields.h"

#include <algorithm>
#include <charconv>
#include <cstdint>

#include "serve/wire/detail/shape_check.h"

namespace paring::serve::wire {
namespace {

bool is_integer(const Shape& shape, const std::string& name) {
  return std::any_of(shape.fields.begin(), shape.fields.end(), [&](const Field& field) {
    return field.name == name && field.shape.kind == ShapeKind::kInteger;
  });
}

// The number that `text` is as a whole, else the text.
Json number_or_text(const std::string& text) {
  std::int64_t number = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  if (error == std::errc() && stop == end) return number;
  return text;
}

}  // namespace

ApiResult<Json> read_flat(const FlatFields& pairs, const Shape& shape, const WireRules& rules) {
  Json object = Json::object();
  for (const auto& [name, text] : pairs) {
    if (object.contains(name)) return bad_request(name, "it stands twice");
    object[name] = is_integer(shape, name) ? number_or_text(text) : Json(text);
  }
  if (auto error = check_shape(object, shape, rules)) return *std::move(error);
  return object;
}

}  // namespace paring::serve::wire
