// SPDX-License-Identifier: Apache-2.0
#include "improve/json_schema.h"

#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "improve/detail/json_depth.h"
#include "improve/detail/schema_check.h"

namespace paring::improve {

namespace {

using detail::Json;
using detail::Patterns;

std::size_t characters_in(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count_if(
      text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
}

// Equal as JSON has it: 1 and 1.0 are one number, false and 0 are not.
bool is_equal(const Json& a, const Json& b) {
  if (a.is_number() && b.is_number()) return a == b;
  if (a.type() != b.type() || a.size() != b.size()) return false;
  if (a.is_array()) {
    return std::equal(a.begin(), a.end(), b.begin(), is_equal);
  }
  if (!a.is_object()) return a == b;
  for (const auto& [name, value] : a.items()) {
    const auto other = b.find(name);
    if (other == b.end() || !is_equal(value, *other)) return false;
  }
  return true;
}

// Of one value against one schema. The first fault, and whether a bound was hit.
class Validator {
 public:
  Validator(const Json& root, const Patterns& patterns) : root_(root), patterns_(patterns) {}
  bool has_given_up() const { return has_given_up_; }

  std::string fault(const Json& schema, const Json& value, const std::string& at,
                    std::size_t depth) {
    if (++steps_ > JsonSchema::kStepsMax || depth > JsonSchema::kDepthMax) has_given_up_ = true;
    if (has_given_up_) return at + ": too much to check";
    if (schema.is_boolean()) return schema.get<bool>() ? "" : at + ": nothing may stand here";
    const Place place{schema, value, at, depth};
    for (const auto part : {&Validator::general, &Validator::numeric, &Validator::text,
                            &Validator::object, &Validator::list, &Validator::combined}) {
      std::string found = (this->*part)(place);
      if (!found.empty() || has_given_up_) return found;
    }
    return {};
  }

 private:
  struct Place {
    const Json& schema;
    const Json& value;
    const std::string& at;
    std::size_t depth;
    const Json* find(const char* name) const {
      const auto found = schema.find(name);
      return found == schema.end() ? nullptr : &*found;
    }
    std::string wrong(const std::string& why) const { return (at.empty() ? "/" : at) + ": " + why; }
  };

  static bool is_of(const Json& value, const std::string& type) {
    if (type == "integer") {
      return value.is_number_integer() ||
             (value.is_number() && std::floor(value.get<double>()) == value.get<double>());
    }
    if (type == "number") return value.is_number();
    return type == value.type_name();
  }

  std::string general(const Place& place) {
    if (const Json* type = place.find("type")) {
      const bool fits =
          type->is_array() ? std::any_of(type->begin(), type->end(),
                                         [&](const Json& each) { return is_of(place.value, each); })
                           : is_of(place.value, *type);
      if (!fits)
        return place.wrong(fmt::format("{}, not {}", place.value.type_name(), type->dump()));
    }
    if (const Json* list = place.find("enum")) {
      if (std::none_of(list->begin(), list->end(),
                       [&](const Json& each) { return is_equal(each, place.value); })) {
        return place.wrong("none of the values that are allowed");
      }
    }
    const Json* only = place.find("const");
    if (only != nullptr && !is_equal(*only, place.value)) return place.wrong("another value");
    return {};
  }

  std::string numeric(const Place& place) {
    if (!place.value.is_number()) return {};
    const auto value = place.value.get<double>();
    const auto bound = [&](const char* name, auto is_well) {
      const Json* const limit = place.find(name);
      return limit == nullptr || is_well(limit->get<double>());
    };
    if (!bound("minimum", [&](double b) { return value >= b; }) ||
        !bound("exclusiveMinimum", [&](double b) { return value > b; })) {
      return place.wrong("too small");
    }
    if (!bound("maximum", [&](double b) { return value <= b; }) ||
        !bound("exclusiveMaximum", [&](double b) { return value < b; })) {
      return place.wrong("too large");
    }
    if (!bound("multipleOf", [&](double b) { return std::floor(value / b) == value / b; })) {
      return place.wrong("no multiple");
    }
    return {};
  }

  // Whether `count` is within the two keywords.
  static std::string within(const Place& place, std::size_t count, const char* least,
                            const char* most) {
    const Json* const low = place.find(least);
    const Json* const high = place.find(most);
    const auto number = static_cast<double>(count);
    if (low != nullptr && number < low->get<double>()) return place.wrong("too few or too short");
    if (high != nullptr && number > high->get<double>()) {
      return place.wrong("too many or too long");
    }
    return {};
  }

  bool matches(const std::string& pattern, const std::string& text) const {
    return re2::RE2::PartialMatch(text, *patterns_.find(pattern)->second);
  }

  std::string text(const Place& place) {
    if (!place.value.is_string()) return {};
    const std::string& text = place.value.get_ref<const std::string&>();
    const Json* const pattern = place.find("pattern");
    if (pattern != nullptr && !matches(*pattern, text)) {
      return place.wrong("it does not match the pattern");
    }
    return within(place, characters_in(text), "minLength", "maxLength");
  }

  std::string object(const Place& place) {
    if (!place.value.is_object()) return {};
    if (const Json* required = place.find("required")) {
      for (const Json& name : *required) {
        if (!place.value.contains(name.get_ref<const std::string&>())) {
          return place.wrong(fmt::format("{} is missing", name.dump()));
        }
      }
    }
    const Json* const properties = place.find("properties");
    const Json* const patterned = place.find("patternProperties");
    const Json* const others = place.find("additionalProperties");
    const Json* const names = place.find("propertyNames");
    for (const auto& [name, member] : place.value.items()) {
      const std::string at = place.at + "/" + name;
      bool is_known = false;
      const auto apply = [&](const Json& schema) {
        is_known = true;
        return fault(schema, member, at, place.depth + 1);
      };
      std::string found;
      if (names != nullptr) found = fault(*names, Json(name), at, place.depth + 1);
      if (found.empty() && properties != nullptr && properties->contains(name)) {
        found = apply((*properties)[name]);
      }
      if (patterned != nullptr) {
        for (const auto& [pattern, schema] : patterned->items()) {
          if (found.empty() && matches(pattern, name)) found = apply(schema);
        }
      }
      if (found.empty() && !is_known && others != nullptr) found = apply(*others);
      if (!found.empty()) return found;
    }
    return within(place, place.value.size(), "minProperties", "maxProperties");
  }

  std::string list(const Place& place) {
    if (!place.value.is_array()) return {};
    const Json* const first = place.find("prefixItems");
    const Json* const others = place.find("items");
    const std::size_t known = first == nullptr ? 0 : first->size();
    for (std::size_t i = 0; i < place.value.size(); ++i) {
      const Json* const schema = i < known ? &(*first)[i] : others;
      if (schema == nullptr) break;
      std::string found =
          fault(*schema, place.value[i], fmt::format("{}/{}", place.at, i), place.depth + 1);
      if (!found.empty()) return found;
    }
    const Json* const wanted = place.find("contains");
    if (wanted != nullptr &&
        std::none_of(place.value.begin(), place.value.end(), [&](const Json& each) {
          return fault(*wanted, each, place.at, place.depth + 1).empty();
        })) {
      return place.wrong("it does not contain what it must");
    }
    const Json* const unique = place.find("uniqueItems");
    if (unique != nullptr && unique->get<bool>()) {
      for (std::size_t i = 0; i < place.value.size(); ++i) {
        for (std::size_t k = 0; k < i; ++k) {
          if (++steps_ > JsonSchema::kStepsMax) has_given_up_ = true;
          if (has_given_up_) return place.wrong("too much to check");
          if (is_equal(place.value[i], place.value[k])) return place.wrong("an item twice");
        }
      }
    }
    return within(place, place.value.size(), "minItems", "maxItems");
  }

  std::string combined(const Place& place) {
    const auto apply = [&](const Json& schema) {
      return fault(schema, place.value, place.at, place.depth + 1);
    };
    if (const Json* reference = place.find("$ref")) {
      const std::string& text = reference->get_ref<const std::string&>();
      std::string found = apply(root_[Json::json_pointer(text.substr(1))]);
      if (!found.empty()) return found;
    }
    if (const Json* all = place.find("allOf")) {
      for (const Json& schema : *all) {
        std::string found = apply(schema);
        if (!found.empty()) return found;
      }
    }
    const auto valid_of = [&](const Json& schemas) {
      return std::count_if(schemas.begin(), schemas.end(),
                           [&](const Json& schema) { return apply(schema).empty(); });
    };
    const Json* const any = place.find("anyOf");
    if (any != nullptr && valid_of(*any) == 0) return place.wrong("none of anyOf");
    const Json* const one = place.find("oneOf");
    if (one != nullptr && valid_of(*one) != 1) return place.wrong("not exactly one of oneOf");
    const Json* const other = place.find("not");
    if (other != nullptr && apply(*other).empty()) return place.wrong("it is what it must not be");
    if (const Json* condition = place.find("if")) {
      const Json* const then = place.find(apply(*condition).empty() ? "then" : "else");
      if (then != nullptr) return apply(*then);
    }
    return {};
  }

  const Json& root_;
  const Patterns& patterns_;
  std::size_t steps_ = 0;
  bool has_given_up_ = false;
};

}  // namespace

struct JsonSchema::State {
  Json schema;
  Patterns patterns;
};

JsonSchema::JsonSchema(std::unique_ptr<const State> state) : state_(std::move(state)) {}
JsonSchema::JsonSchema(JsonSchema&&) noexcept = default;
JsonSchema& JsonSchema::operator=(JsonSchema&&) noexcept = default;
JsonSchema::~JsonSchema() = default;

Result<JsonSchema> JsonSchema::parse(std::string_view text) {
  if (text.size() > kBytesMax) {
    return invalid_argument(fmt::format("a schema has at most {} bytes", kBytesMax));
  }
  if (detail::json_depth(text) > detail::kJsonDepthMax) {
    return invalid_argument(
        fmt::format("a schema is nested at most {} deep", detail::kJsonDepthMax));
  }
  auto state = std::make_unique<State>();
  state->schema = Json::parse(text, nullptr, false);
  if (state->schema.is_discarded()) return invalid_argument("the schema is no JSON");
  PARING_TRY(state->patterns, detail::check_schema(state->schema));
  return JsonSchema(std::move(state));
}

Result<std::string> JsonSchema::fault_in(std::string_view text) const {
  if (detail::json_depth(text) > detail::kJsonDepthMax) {
    return exhausted(fmt::format("the value is nested deeper than {}", detail::kJsonDepthMax));
  }
  const Json value = Json::parse(text, nullptr, false);
  if (value.is_discarded()) return std::string("no JSON");
  Validator validator(state_->schema, state_->patterns);
  std::string fault = validator.fault(state_->schema, value, "", 0);
  if (validator.has_given_up()) {
    return exhausted(
        fmt::format("the schema takes more than {} steps or {} levels", kStepsMax, kDepthMax));
  }
  return fault;
}

}  // namespace paring::improve
