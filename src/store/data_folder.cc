// SPDX-License-Identifier: Apache-2.0
#include "store/data_folder.h"

#include <string_view>

namespace paring::store {

namespace {

std::string variable(const char* const* environment, std::string_view name) {
  for (; *environment != nullptr; ++environment) {
    const std::string_view entry = *environment;
    if (entry.starts_with(name) && entry.substr(name.size()).starts_with('=')) {
      return std::string(entry.substr(name.size() + 1));
    }
  }
  return {};
}

}  // namespace

Result<std::string> data_folder(const std::string& setting, const char* const* environment) {
  if (setting != "auto") return setting;
  // Relative paths are invalid there, by the XDG base directory specification.
  const std::string data = variable(environment, "XDG_DATA_HOME");
  if (data.starts_with('/')) return data + "/paring";
  const std::string home = variable(environment, "HOME");
  if (home.starts_with('/')) return home + "/.local/share/paring";
  return invalid_argument("there is no HOME, so no folder for the server's state is known",
                          "name one with --data-dir");
}

}  // namespace paring::store
