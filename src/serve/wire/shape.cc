// SPDX-License-Identifier: Apache-2.0
#include "serve/wire/shape.h"

#include <iterator>
#include <utility>

#include "serve/wire/detail/json_text.h"

namespace paring::serve::wire {
namespace {

constexpr std::size_t kUnbounded = std::numeric_limits<std::size_t>::max();

Shape of_kind(ShapeKind kind) {
  Shape shape;
  shape.kind = kind;
  return shape;
}

std::string quoted_names(const std::vector<std::string>& names) {
  std::string words;
  for (const std::string& name : names) {
    if (!words.empty()) words += ", ";
    words += json_string(name);
  }
  return words;
}

// "1 to 4 characters", "up to 4 items", "items".
std::string size_words(const Shape& shape, const char* noun) {
  const bool has_max = shape.size_max != kUnbounded;
  std::string words;
  if (shape.size_min > 0) {
    words = has_max ? std::to_string(shape.size_min) + " to " + std::to_string(shape.size_max)
                    : "at least " + std::to_string(shape.size_min);
  } else if (has_max) {
    words = "up to " + std::to_string(shape.size_max);
  }
  return words.empty() ? std::string(noun) : words + ' ' + noun;
}

std::string number_words(const Shape& shape) {
  std::string words = "a number";
  if (shape.number_min > std::numeric_limits<double>::lowest()) {
    append(words, " from ", shape.number_min);
  }
  if (shape.number_max < std::numeric_limits<double>::max()) {
    append(words, " to ", shape.number_max);
  }
  return words;
}

}  // namespace

Shape any_json() { return of_kind(ShapeKind::kAny); }
Shape boolean() { return of_kind(ShapeKind::kBoolean); }

Shape only(bool value, std::string hint) {
  Shape shape = boolean();
  shape.constant = value;
  shape.hint = std::move(hint);
  return shape;
}

Shape integer(std::int64_t min, std::int64_t max) {
  Shape shape = of_kind(ShapeKind::kInteger);
  shape.integer_min = min;
  shape.integer_max = max;
  return shape;
}

Shape number(double min, double max) {
  Shape shape = of_kind(ShapeKind::kNumber);
  shape.number_min = min;
  shape.number_max = max;
  return shape;
}

Shape text(std::size_t characters_min, std::size_t characters_max) {
  Shape shape = of_kind(ShapeKind::kText);
  shape.size_min = characters_min;
  shape.size_max = characters_max;
  return shape;
}

Shape name_of(std::vector<std::string> names, std::string hint) {
  Shape shape = of_kind(ShapeKind::kName);
  shape.names = std::move(names);
  shape.hint = std::move(hint);
  return shape;
}

Shape list(Shape items, std::size_t items_min, std::size_t items_max) {
  Shape shape = of_kind(ShapeKind::kList);
  shape.options.push_back(std::move(items));
  shape.size_min = items_min;
  shape.size_max = items_max;
  return shape;
}

Shape object(std::vector<Field> fields) {
  Shape shape = of_kind(ShapeKind::kObject);
  shape.fields = std::move(fields);
  return shape;
}

Shape open_object(std::vector<Field> fields) {
  Shape shape = object(std::move(fields));
  shape.is_open = true;
  return shape;
}

Shape map(Shape values, std::size_t fields_max) {
  Shape shape = of_kind(ShapeKind::kMap);
  shape.options.push_back(std::move(values));
  shape.size_max = fields_max;
  return shape;
}

Shape token_map(Shape values, std::size_t fields_max) {
  Shape shape = map(std::move(values), fields_max);
  shape.has_token_keys = true;
  return shape;
}

Shape one_of(std::vector<Shape> options) {
  Shape shape = of_kind(ShapeKind::kUnion);
  shape.options = std::move(options);
  return shape;
}

Shape one_of_by(std::string discriminator, std::vector<Shape> options,
                std::string default_discriminant) {
  Shape shape = one_of(std::move(options));
  shape.discriminator = std::move(discriminator);
  shape.default_discriminant = std::move(default_discriminant);
  return shape;
}

Field required(std::string name, Shape shape, std::string help) {
  return {std::move(name), std::move(shape), FieldUse::kUsed, true, std::move(help)};
}
Field field(std::string name, Shape shape, std::string help) {
  return {std::move(name), std::move(shape), FieldUse::kUsed, false, std::move(help)};
}
Field ignored(std::string name, Shape shape, std::string help) {
  return {std::move(name), std::move(shape), FieldUse::kIgnored, false, std::move(help)};
}
Field refused(std::string name, std::string reason) {
  return {std::move(name), any_json(), FieldUse::kRefused, false, std::move(reason)};
}

std::vector<Field> joined(std::vector<Field> first, std::vector<Field> second) {
  first.insert(first.end(), std::make_move_iterator(second.begin()),
               std::make_move_iterator(second.end()));
  return first;
}

std::string shape_words(const Shape& shape) {
  std::string words;
  switch (shape.kind) {
    case ShapeKind::kAny:
      return "any value";
    case ShapeKind::kBoolean:
      if (shape.constant) return *shape.constant ? "true" : "false";
      return "true or false";
    case ShapeKind::kInteger:
      append(words, "an integer from ", shape.integer_min, " to ", shape.integer_max);
      return words;
    case ShapeKind::kNumber:
      return number_words(shape);
    case ShapeKind::kText:
      if (shape.size_min == 0 && shape.size_max == kUnbounded) return "a text";
      return "a text of " + size_words(shape, "characters");
    case ShapeKind::kName:
      if (shape.names.size() == 1) return quoted_names(shape.names);
      return "one of " + quoted_names(shape.names);
    case ShapeKind::kList:
      return "a list of " + size_words(shape, "items") + ", each " +
             shape_words(shape.options.front());
    case ShapeKind::kObject:
      return "an object";
    case ShapeKind::kMap:
      return std::string("an object of ") +
             size_words(shape, shape.has_token_keys ? "token ids" : "fields") + ", each " +
             shape_words(shape.options.front());
    case ShapeKind::kUnion:
      break;
  }
  // Objects that differ by their fields read the same.
  bool has_object = false;
  for (const Shape& option : shape.options) {
    if (option.kind == ShapeKind::kObject && std::exchange(has_object, true)) continue;
    if (!words.empty()) words += ", or ";
    words += shape_words(option);
  }
  return words;
}

}  // namespace paring::serve::wire
