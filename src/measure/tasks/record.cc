// SPDX-License-Identifier: Apache-2.0
#include "measure/tasks/detail/record.h"

#include <fmt/format.h>

#include <charconv>
#include <nlohmann/json.hpp>

namespace paring::measure {

namespace {

Error missing(const char* field) { return corrupt(fmt::format("field '{}' is missing", field)); }

}  // namespace

bool Record::has(const char* field) const { return json_.contains(field); }

Result<std::string> Record::text(const char* field) const {
  const auto found = json_.find(field);
  if (found == json_.end()) return missing(field);
  if (!found->is_string()) return corrupt(fmt::format("field '{}' is not a text", field));
  return found->get<std::string>();
}

Result<std::vector<std::string>> Record::list(const nlohmann::json& value,
                                              const std::string& name) const {
  if (!value.is_array() || value.size() < 2 || value.size() > kChoicesMax) {
    return corrupt(fmt::format("field '{}' is not a list of 2 to {} texts", name, kChoicesMax));
  }
  std::vector<std::string> texts;
  for (const nlohmann::json& item : value) {
    if (!item.is_string() || item.get_ref<const std::string&>().empty()) {
      return corrupt(fmt::format("field '{}' holds something that is not a text", name));
    }
    texts.push_back(item.get<std::string>());
  }
  return texts;
}

Result<std::vector<std::string>> Record::choices(const char* field) const {
  const auto found = json_.find(field);
  if (found == json_.end()) return missing(field);
  return list(*found, field);
}

Result<std::vector<std::string>> Record::choices(const char* object, const char* field) const {
  const auto outer = json_.find(object);
  if (outer == json_.end()) return missing(object);
  const std::string name = fmt::format("{}.{}", object, field);
  if (!outer->is_object() || !outer->contains(field)) {
    return corrupt(fmt::format("field '{}' is missing", name));
  }
  return list((*outer)[field], name);
}

Result<std::size_t> Record::index(const char* field, std::size_t count) const {
  const auto found = json_.find(field);
  if (found == json_.end()) return missing(field);
  std::size_t value = count;
  if (found->is_number_unsigned()) {
    value = found->get<std::size_t>();
  } else if (found->is_string()) {
    const auto& digits = found->get_ref<const std::string&>();
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error != std::errc{} || end != digits.data() + digits.size()) value = count;
  }
  if (value >= count) {
    return corrupt(fmt::format("field '{}' is not a number from 0 to {}", field, count - 1));
  }
  return value;
}

}  // namespace paring::measure
