// SPDX-License-Identifier: Apache-2.0
// Shapes: what the bodies of requests and answers may be, as data. One declaration checks requests,
// yields the OpenAPI document and the reference page, and lets tests go through every field.
// Plain data; shapes of endpoints are made once and shared by threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

namespace paring::serve::wire {

enum class ShapeKind : std::uint8_t {
  kAny,
  kBoolean,
  kInteger,
  kNumber,
  kText,
  kName,    // one of a few texts
  kList,    // of `options[0]`
  kObject,  // with `fields`
  kMap,     // names to values that are `options[0]`
  kUnion,   // one of `options`
};

enum class FieldUse : std::uint8_t {
  kUsed,
  kIgnored,  // taken, and nothing would be different without it
  kRefused,  // known, but this server does not have it: null only
};

struct Field;

struct Shape {
  ShapeKind kind = ShapeKind::kAny;
  std::optional<bool> constant;  // of kBoolean
  std::int64_t integer_min = std::numeric_limits<std::int64_t>::min();
  std::int64_t integer_max = std::numeric_limits<std::int64_t>::max();
  double number_min = std::numeric_limits<double>::lowest();
  double number_max = std::numeric_limits<double>::max();
  std::size_t size_min = 0;  // characters of texts, items of lists, fields of maps
  std::size_t size_max = std::numeric_limits<std::size_t>::max();
  std::vector<std::string> names;    // of kName
  std::vector<Shape> options;        // of kList, kMap, kUnion
  std::vector<Field> fields;         // of kObject
  bool is_open = false;              // kObject: fields of other names are nobody's mistake
  bool has_token_keys = false;       // kMap: names are token ids
  std::string discriminator;         // kUnion of objects: the field that tells which
  std::string default_discriminant;  // what it is where it is absent
  std::string hint;                  // what to do instead of a wrong value
};

// Absent and null are the same for fields that are not required.
struct Field {
  std::string name;
  Shape shape;
  FieldUse use = FieldUse::kUsed;
  bool is_required = false;
  std::string help;  // of kRefused: why
};

// Builders.
Shape any_json();
Shape boolean();
Shape only(bool value, std::string hint);
Shape integer(std::int64_t min, std::int64_t max);
Shape number(double min, double max);
Shape text(std::size_t characters_min = 0,
           std::size_t characters_max = std::numeric_limits<std::size_t>::max());
Shape name_of(std::vector<std::string> names, std::string hint = "");
Shape list(Shape items, std::size_t items_min, std::size_t items_max);
Shape object(std::vector<Field> fields);
Shape open_object(std::vector<Field> fields = {});
Shape map(Shape values, std::size_t fields_max);
Shape token_map(Shape values, std::size_t fields_max);
Shape one_of(std::vector<Shape> options);
Shape one_of_by(std::string discriminator, std::vector<Shape> options,
                std::string default_discriminant = "");

Field required(std::string name, Shape shape, std::string help);
Field field(std::string name, Shape shape, std::string help);
Field ignored(std::string name, Shape shape, std::string help);
Field refused(std::string name, std::string reason);

// `first` and then the fields of `second`.
std::vector<Field> joined(std::vector<Field> first, std::vector<Field> second);

// "from 0 to 2", "one of \"auto\", \"none\"", "a list of 1 to 4 items": for errors and pages.
std::string shape_words(const Shape& shape);

}  // namespace paring::serve::wire
