// SPDX-License-Identifier: Apache-2.0
#include "improve/detail/schema_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <iterator>
#include <string_view>
#include <utility>

#include "base/text.h"
#include "improve/json_schema.h"

namespace paring::improve::detail {

namespace {

// What the value of a keyword must be; enumerator, what is said of another.
#define PARING_SCHEMA_VALUES(X)                                                     \
  X(kAny, "")                                                                       \
  X(kType, "a type or a list of types")                                             \
  X(kText, "a text")                                                                \
  X(kCount, "a whole number from 0")                                                \
  X(kNumber, "a number")                                                            \
  X(kAboveZero, "a number above 0")                                                 \
  X(kFlag, "true or false")                                                         \
  X(kTexts, "a list of texts")                                                      \
  X(kList, "a list")                                                                \
  X(kSchema, "a schema")                                                            \
  X(kSchemas, "a list of schemas")                                                  \
  X(kNamedSchemas, "an object of schemas")                                          \
  X(kPatternSchemas, "an object of schemas, by regular expressions that RE2 takes") \
  X(kPattern, "a regular expression that RE2 takes")

enum class Kind : std::uint8_t {
#define PARING_X(name, text) name,
  PARING_SCHEMA_VALUES(PARING_X)
#undef PARING_X
};

const char* takes(Kind kind) {
  constexpr const char* kTexts[] = {
#define PARING_X(name, text) text,
      PARING_SCHEMA_VALUES(PARING_X)
#undef PARING_X
  };
  return kTexts[static_cast<std::size_t>(kind)];
}

const std::map<std::string, Kind, std::less<>>& keywords() {
  static const std::map<std::string, Kind, std::less<>> all = {
      {"type", Kind::kType},
      {"enum", Kind::kList},
      {"const", Kind::kAny},
      {"minimum", Kind::kNumber},
      {"maximum", Kind::kNumber},
      {"exclusiveMinimum", Kind::kNumber},
      {"exclusiveMaximum", Kind::kNumber},
      {"multipleOf", Kind::kAboveZero},
      {"minLength", Kind::kCount},
      {"maxLength", Kind::kCount},
      {"pattern", Kind::kPattern},
      {"properties", Kind::kNamedSchemas},
      {"patternProperties", Kind::kPatternSchemas},
      {"additionalProperties", Kind::kSchema},
      {"propertyNames", Kind::kSchema},
      {"required", Kind::kTexts},
      {"minProperties", Kind::kCount},
      {"maxProperties", Kind::kCount},
      {"prefixItems", Kind::kSchemas},
      {"items", Kind::kSchema},
      {"minItems", Kind::kCount},
      {"maxItems", Kind::kCount},
      {"uniqueItems", Kind::kFlag},
      {"contains", Kind::kSchema},
      {"allOf", Kind::kSchemas},
      {"anyOf", Kind::kSchemas},
      {"oneOf", Kind::kSchemas},
      {"not", Kind::kSchema},
      {"if", Kind::kSchema},
      {"then", Kind::kSchema},
      {"else", Kind::kSchema},
      {"$ref", Kind::kText},
      {"$defs", Kind::kNamedSchemas},
      {"definitions", Kind::kNamedSchemas},
      {"$schema", Kind::kAny},
      {"$id", Kind::kAny},
      {"$comment", Kind::kAny},
      {"title", Kind::kAny},
      {"description", Kind::kAny},
      {"default", Kind::kAny},
      {"examples", Kind::kAny},
      {"format", Kind::kAny},
      {"deprecated", Kind::kAny},
      {"readOnly", Kind::kAny},
      {"writeOnly", Kind::kAny}};
  return all;
}

bool is_type_name(const Json& name) {
  constexpr std::string_view kNames[] = {"null",   "boolean", "object", "array",
                                         "number", "string",  "integer"};
  return name.is_string() &&
         std::ranges::find(kNames, name.get_ref<const std::string&>()) != std::end(kNames);
}

bool is_schema(const Json& json) { return json.is_object() || json.is_boolean(); }

// Of a schema, all the way down, before anything is held against it.
class Checker {
 public:
  Checker(const Json& root, Patterns& patterns) : root_(root), patterns_(patterns) {}

  Result<void> check(const Json& schema, const std::string& at, std::size_t depth) {
    if (depth > JsonSchema::kDepthMax) return wrong(at, "schemas are nested too deep");
    if (schema.is_boolean()) return {};
    if (!schema.is_object()) return wrong(at, "a schema is an object, true or false");
    for (const auto& [name, value] : schema.items()) {
      const std::string place = at + "/" + escape_control(name);
      const auto keyword = keywords().find(name);
      if (keyword == keywords().end()) return wrong(place, "this keyword is not supported");
      if (!fits(keyword->second, value)) {
        return wrong(place, fmt::format("it takes {}", takes(keyword->second)));
      }
      PARING_TRY_VOID(check_below(keyword->second, value, place, depth));
      if (name == "$ref") PARING_TRY_VOID(check_reference(value, place));
    }
    return {};
  }

 private:
  static Error wrong(const std::string& at, const std::string& why) {
    return invalid_argument(fmt::format("schema, '{}': {}", at.empty() ? "/" : at, why));
  }

  bool takes_pattern(const std::string& text) {
    auto pattern = std::make_unique<const re2::RE2>(text, re2::RE2::Quiet);
    const bool is_well = pattern->ok();
    patterns_[text] = std::move(pattern);
    return is_well;
  }

  bool fits(Kind kind, const Json& value) {
    const auto all = [&](auto test) {
      return std::all_of(value.begin(), value.end(), [&](const Json& each) { return test(each); });
    };
    switch (kind) {
      case Kind::kAny:
        return true;
      case Kind::kType:
        return value.is_array() ? !value.empty() && all(is_type_name) : is_type_name(value);
      case Kind::kText:
        return value.is_string();
      case Kind::kPattern:
        return value.is_string() && takes_pattern(value.get<std::string>());
      case Kind::kCount:
        return value.is_number() && value.get<double>() >= 0 &&
               std::floor(value.get<double>()) == value.get<double>();
      case Kind::kNumber:
        return value.is_number();
      case Kind::kAboveZero:
        return value.is_number() && value.get<double>() > 0;
      case Kind::kFlag:
        return value.is_boolean();
      case Kind::kTexts:
        return value.is_array() && all([](const Json& each) { return each.is_string(); });
      case Kind::kList:
        return value.is_array();
      case Kind::kSchema:
        return is_schema(value);
      case Kind::kSchemas:
        return value.is_array() && !value.empty() && all(is_schema);
      case Kind::kNamedSchemas:
        return value.is_object() && all(is_schema);
      case Kind::kPatternSchemas:
        if (!value.is_object() || !all(is_schema)) return false;
        for (const auto& [name, each] : value.items()) {
          if (!takes_pattern(name)) return false;
        }
        return true;
    }
    return false;
  }

  Result<void> check_below(Kind kind, const Json& value, const std::string& at, std::size_t depth) {
    if (kind == Kind::kSchema) return check(value, at, depth + 1);
    if (kind == Kind::kSchemas) {
      for (std::size_t i = 0; i < value.size(); ++i) {
        PARING_TRY_VOID(check(value[i], fmt::format("{}/{}", at, i), depth + 1));
      }
    }
    if (kind == Kind::kNamedSchemas || kind == Kind::kPatternSchemas) {
      for (const auto& [name, each] : value.items()) {
        PARING_TRY_VOID(check(each, at + "/" + escape_control(name), depth + 1));
      }
    }
    return {};
  }

  Result<void> check_reference(const Json& reference, const std::string& at) {
    const std::string& text = reference.get_ref<const std::string&>();
    if (!text.starts_with('#') || (text.size() > 1 && text[1] != '/')) {
      return wrong(at, "only references into the schema itself are supported, such as #/$defs/x");
    }
    // Parsing a pointer throws where it is none.
    const bool is_pointer =
        std::ranges::none_of(text, [](char c) { return c == '%'; }) && has_whole_escapes(text);
    if (!is_pointer) return wrong(at, "that is no JSON pointer");
    const Json::json_pointer pointer(text.substr(1));
    if (!root_.contains(pointer) || !is_schema(root_[pointer])) {
      return wrong(at, "it leads to no schema");
    }
    return {};
  }

  // "~" stands before 0 or 1 only.
  static bool has_whole_escapes(std::string_view text) {
    for (std::size_t i = 0; (i = text.find('~', i)) != std::string_view::npos; ++i) {
      if (i + 1 >= text.size() || (text[i + 1] != '0' && text[i + 1] != '1')) return false;
    }
    return true;
  }

  const Json& root_;
  Patterns& patterns_;
};

}  // namespace

Result<Patterns> check_schema(const Json& schema) {
  Patterns patterns;
  PARING_TRY_VOID(Checker(schema, patterns).check(schema, "", 0));
  return patterns;
}

}  // namespace paring::improve::detail
