// SPDX-License-Identifier: Apache-2.0
#include "improve/scorers/fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "base/file.h"
#include "base/sha256.h"
#include "base/text.h"

namespace paring::improve {

std::optional<std::string> Fields::text(const std::string& name) {
  asked_.insert(name);
  const auto found = spec_.fields.find(name);
  if (found == spec_.fields.end()) return std::nullopt;
  return found->second;
}

Result<std::string> Fields::needed(const std::string& name) {
  const auto found = text(name);
  if (found && !found->empty()) return *found;
  return invalid_argument(
      fmt::format("the scorer '{}' of kind {} has no '{}'", spec_.name, spec_.kind, name),
      fmt::format("add a line '{}: ...'", name));
}

Result<std::optional<double>> Fields::number(const std::string& name, double least, double most) {
  const auto found = text(name);
  if (!found) return std::optional<double>();
  double value = 0;
  const char* const end = found->data() + found->size();
  const auto [stop, error] = std::from_chars(found->data(), end, value);
  if (error == std::errc() && stop == end && value >= least && value <= most) {
    return std::optional(value);
  }
  return wrong(name, fmt::format("it takes a number from {} to {}", least, most));
}

Result<std::string> Fields::word(const std::string& name, const std::vector<std::string>& words) {
  const auto found = text(name);
  if (!found) return words.front();
  if (std::ranges::find(words, *found) != words.end()) return *found;
  return wrong(name, fmt::format("it takes {}", fmt::join(words, " or ")));
}

Result<std::string> Fields::file(const std::string& name, const std::string& file,
                                 std::size_t bytes_max) {
  const std::filesystem::path given(file);
  const std::string path =
      given.is_absolute() ? file : (std::filesystem::path(spec_.folder) / given).string();
  Result<std::string> text = read_small_file(path, bytes_max);
  if (!text) return wrong(name, text.error().message, text.error().hint);
  files_hash_ += sha256_hex(*text);
  return text;
}

Result<void> Fields::end() const {
  for (const auto& [name, value] : spec_.fields) {
    if (asked_.contains(name)) continue;
    return invalid_argument(fmt::format("the scorer '{}' of kind {} has no field '{}'", spec_.name,
                                        spec_.kind, escape_control(name)),
                            fmt::format("it takes {}", fmt::join(asked_, ", ")));
  }
  return {};
}

Error Fields::wrong(const std::string& name, const std::string& why, std::string hint) const {
  const auto found = spec_.fields.find(name);
  return invalid_argument(
      fmt::format("the scorer '{}': '{}' is '{}'; {}", spec_.name, name,
                  found == spec_.fields.end() ? "" : escape_control(found->second), why),
      std::move(hint));
}

}  // namespace paring::improve
