// SPDX-License-Identifier: Apache-2.0
#include "serve/wire/detail/shape_check.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/text.h"

namespace paring::serve::wire {
namespace {

constexpr std::size_t kShownNameBytes = 64;

// Where a value stands; written only when something is wrong.
struct Place {
  const Place* above = nullptr;
  const std::string* name = nullptr;  // of a field; null: an item
  std::size_t index = 0;
};

std::string path_of(const Place& place) {
  std::string path = place.above != nullptr ? path_of(*place.above) : std::string();
  if (place.name != nullptr) {
    if (!path.empty()) path += '.';
    path += escape_control(place.name->substr(0, kShownNameBytes));
  } else if (place.above != nullptr) {
    path += '[' + std::to_string(place.index) + ']';
  }
  return path;
}

ApiError wrong(const char* code, const Place& place, const std::string& what, const Shape& shape) {
  const std::string path = path_of(place);
  std::string message = (path.empty() ? "the body" : path) + ' ' + what;
  if (!shape.hint.empty()) message += "; " + shape.hint;
  return {400, code, std::move(message), path};
}

ApiError wrong_value(const char* code, const Place& place, const Json& value, const Shape& shape) {
  return wrong(code, place, "is " + shown(value) + ", it must be " + shape_words(shape), shape);
}

std::size_t characters_of(const std::string& text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0U) != 0x80U;
  }));
}

bool is_whole(const Json& value) {
  if (value.is_number_integer()) return true;
  // 1.0 and 1e3 are integers of JSON Schema; beyond 2^53 digits may be missing.
  constexpr double kExactMax = 9007199254740992.0;
  if (!value.is_number_float()) return false;
  const double number = value.get<double>();
  return std::fabs(number) <= kExactMax && number == std::floor(number);
}

bool has_type(const Json& value, const Shape& shape) {
  switch (shape.kind) {
    case ShapeKind::kAny:
    case ShapeKind::kUnion:
      return true;
    case ShapeKind::kBoolean:
      return value.is_boolean();
    case ShapeKind::kInteger:
      return is_whole(value);
    case ShapeKind::kNumber:
      return value.is_number();
    case ShapeKind::kText:
    case ShapeKind::kName:
      return value.is_string();
    case ShapeKind::kList:
      return value.is_array();
    case ShapeKind::kObject:
    case ShapeKind::kMap:
      return value.is_object();
  }
  return false;
}

bool is_token_id(const std::string& key) {
  const bool is_number =
      !key.empty() && key.size() <= 9 &&
      std::all_of(key.begin(), key.end(), [](char c) { return c >= '0' && c <= '9'; });
  return is_number && (key.size() == 1 || key[0] != '0');
}

const std::string* discriminant(const Json& value, const Shape& shape) {
  const auto found = value.find(shape.discriminator);
  if (found == value.end() || found->is_null()) {
    return shape.default_discriminant.empty() ? nullptr : &shape.default_discriminant;
  }
  return found->is_string() ? &found->get_ref<const std::string&>() : nullptr;
}

const Field* field_named(const Shape& shape, const std::string& name) {
  const auto found = std::find_if(shape.fields.begin(), shape.fields.end(),
                                  [&](const Field& each) { return each.name == name; });
  return found == shape.fields.end() ? nullptr : &*found;
}

class Check {
 public:
  explicit Check(const WireRules& rules) : rules_(rules) {}

  std::optional<ApiError> value(const Json& json, const Shape& shape, const Place& place) const {
    if (!has_type(json, shape)) return wrong_value("invalid_type", place, json, shape);
    switch (shape.kind) {
      case ShapeKind::kAny:
        return std::nullopt;
      case ShapeKind::kBoolean:
        if (!shape.constant || json.get<bool>() == *shape.constant) return std::nullopt;
        return wrong_value("unsupported_value", place, json, shape);
      case ShapeKind::kInteger:
        return integer(json, shape, place);
      case ShapeKind::kNumber:
        if (json.get<double>() < shape.number_min) {
          return wrong_value("decimal_below_min_value", place, json, shape);
        }
        if (json.get<double>() <= shape.number_max) return std::nullopt;
        return wrong_value("decimal_above_max_value", place, json, shape);
      case ShapeKind::kText:
        return size(characters_of(json.get_ref<const std::string&>()), "characters", "string",
                    shape, place);
      case ShapeKind::kName:
        if (std::find(shape.names.begin(), shape.names.end(), json.get_ref<const std::string&>()) !=
            shape.names.end()) {
          return std::nullopt;
        }
        return wrong_value("invalid_value", place, json, shape);
      case ShapeKind::kList:
        return items(json, shape, place);
      case ShapeKind::kObject:
        return object(json, shape, place);
      case ShapeKind::kMap:
        return map(json, shape, place);
      case ShapeKind::kUnion:
        break;
    }
    return one_of(json, shape, place);
  }

 private:
  static std::optional<ApiError> integer(const Json& json, const Shape& shape, const Place& place) {
    bool is_low = false;
    bool is_high = false;
    if (json.is_number_unsigned()) {
      const auto number = json.get<std::uint64_t>();
      is_low = shape.integer_min > 0 && number < static_cast<std::uint64_t>(shape.integer_min);
      is_high = shape.integer_max < 0 || number > static_cast<std::uint64_t>(shape.integer_max);
    } else {
      const auto number = json.get<std::int64_t>();
      is_low = number < shape.integer_min;
      is_high = number > shape.integer_max;
    }
    if (is_low) return wrong_value("integer_below_min_value", place, json, shape);
    if (is_high) return wrong_value("integer_above_max_value", place, json, shape);
    return std::nullopt;
  }

  static std::optional<ApiError> size(std::size_t count, const char* noun, const char* type,
                                      const Shape& shape, const Place& place) {
    if (count >= shape.size_min && count <= shape.size_max) return std::nullopt;
    const bool is_low = count < shape.size_min;
    const std::string code =
        std::string(type) + (is_low ? "_below_min_length" : "_above_max_length");
    return wrong(code.c_str(), place,
                 "has " + std::to_string(count) + ' ' + noun + ", the limit is " +
                     std::to_string(is_low ? shape.size_min : shape.size_max),
                 shape);
  }

  std::optional<ApiError> items(const Json& json, const Shape& shape, const Place& place) const {
    if (auto error = size(json.size(), "items", "array", shape, place)) return error;
    for (std::size_t i = 0; i < json.size(); ++i) {
      if (auto error = value(json[i], shape.options.front(), {&place, nullptr, i})) return error;
    }
    return std::nullopt;
  }

  std::optional<ApiError> map(const Json& json, const Shape& shape, const Place& place) const {
    if (auto error = size(json.size(), "fields", "object", shape, place)) return error;
    for (const auto& [key, item] : json.items()) {
      const Place inside{&place, &key, 0};
      if (shape.has_token_keys && !is_token_id(key)) {
        return wrong("invalid_value", inside, "is no token id; ids are decimal numbers", shape);
      }
      if (auto error = value(item, shape.options.front(), inside)) return error;
    }
    return std::nullopt;
  }

  std::optional<ApiError> object(const Json& json, const Shape& shape, const Place& place) const {
    for (const auto& [key, item] : json.items()) {
      const Place inside{&place, &key, 0};
      const Field* const field = field_named(shape, key);
      if (field == nullptr) {
        if (shape.is_open || !rules_.is_strict) continue;
        return wrong("unknown_parameter", inside, "is a field that this endpoint does not know",
                     shape);
      }
      if (item.is_null() && !field->is_required) continue;
      if (field->use == FieldUse::kRefused) {
        return wrong("unsupported_parameter", inside, "is not supported: " + field->help, {});
      }
      if (auto error = value(item, field->shape, inside)) return error;
    }
    for (const Field& field : shape.fields) {
      if (!field.is_required || json.contains(field.name)) continue;
      const Place inside{&place, &field.name, 0};
      return wrong("missing_required_parameter", inside,
                   "is missing; give " + shape_words(field.shape), shape);
    }
    return std::nullopt;
  }

  std::optional<ApiError> one_of(const Json& json, const Shape& shape, const Place& place) const {
    const Shape* const option = option_for(json, shape);
    if (option != nullptr) return value(json, *option, place);
    if (shape.discriminator.empty() || !json.is_object()) {
      return wrong_value("invalid_type", place, json, shape);
    }
    const Place inside{&place, &shape.discriminator, 0};
    std::vector<std::string> names;
    for (const Shape& each : shape.options) {
      const Field* const field = field_named(each, shape.discriminator);
      if (field != nullptr) {
        names.insert(names.end(), field->shape.names.begin(), field->shape.names.end());
      }
    }
    if (!json.contains(shape.discriminator)) {
      return wrong("missing_required_parameter", inside,
                   "is missing; give " + shape_words(name_of(names)), shape);
    }
    Shape known = name_of(std::move(names));
    known.hint = shape.hint;
    return wrong_value("invalid_value", inside, json[shape.discriminator], known);
  }

  const WireRules& rules_;
};

}  // namespace

const Shape* option_for(const Json& value, const Shape& shape) {
  if (value.is_object() && !shape.discriminator.empty()) {
    const std::string* const name = discriminant(value, shape);
    for (const Shape& option : shape.options) {
      const Field* const field = field_named(option, shape.discriminator);
      if (option.kind == ShapeKind::kMap) return &option;
      if (name == nullptr || field == nullptr) continue;
      const auto& names = field->shape.names;
      if (std::find(names.begin(), names.end(), *name) != names.end()) return &option;
    }
    return nullptr;
  }
  const Shape* first = nullptr;
  for (const Shape& option : shape.options) {
    if (!has_type(value, option)) continue;
    if (first == nullptr) first = &option;
    if (option.kind != ShapeKind::kList) return &option;
    if (value.empty() || has_type(value.front(), option.options.front())) return &option;
  }
  return first;
}

std::optional<ApiError> check_shape(const Json& value, const Shape& shape, const WireRules& rules) {
  return Check(rules).value(value, shape, {});
}

ApiResult<Json> read_body(std::string_view body, const Shape& shape, const WireRules& rules) {
  ApiResult<Json> json = read_json(body);
  if (!json) return json;
  if (auto error = check_shape(*json, shape, rules)) return std::move(*error);
  return json;
}

}  // namespace paring::serve::wire
