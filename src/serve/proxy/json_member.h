// SPDX-License-Identifier: Apache-2.0
// Members of JSON that may be anything. Stateless.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace paring::serve {

// Null: it is no object, or has none of that name.
inline const nlohmann::ordered_json* member(const nlohmann::ordered_json& object,
                                            const char* name) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(name);
  return found == object.end() ? nullptr : &*found;
}

// Empty: it is no text.
inline std::string text_of(const nlohmann::ordered_json& object, const char* name) {
  const nlohmann::ordered_json* const text = member(object, name);
  return text != nullptr && text->is_string() ? text->get<std::string>() : std::string();
}

}  // namespace paring::serve
