// SPDX-License-Identifier: Apache-2.0
#include "config/yaml.h"

#include <fmt/core.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <exception>
#include <set>

#include "base/text.h"

namespace paring::config {
namespace {

constexpr std::size_t kShownMax = 64;

Error at_line(std::size_t line, const std::string& text, std::string hint = {}) {
  return invalid_argument(fmt::format("line {}: {}", line, text), std::move(hint));
}

struct Flattener {
  std::vector<YamlEntry> entries;
  std::set<std::string> keys;

  // Aliases make the tree a graph, even a cyclic one: depth and number of entries bound the walk.
  Result<void> add(const YAML::Node& node, const std::string& key, std::size_t depth,
                   std::size_t line) {
    if (node.IsMap()) return add_map(node, key, depth, line);
    const std::string shown = escape_control(key.substr(0, kShownMax));
    if (!node.IsScalar() && key == "models") {
      return at_line(line, "'models' is no list of names",
                     "write a name a line below it, each with its file: '  chat: FILE.gguf'");
    }
    if (!node.IsScalar()) {
      return at_line(line, fmt::format("'{}' has no single value", shown),
                     "write one value after the colon");
    }
    if (!keys.insert(key).second) return at_line(line, fmt::format("'{}' occurs twice", shown));
    if (entries.size() >= kYamlEntriesMax) {
      return at_line(line, fmt::format("more than {} entries", kYamlEntriesMax));
    }
    entries.push_back({key, node.Scalar(), line, depth - 1});
    return {};
  }

  Result<void> add_map(const YAML::Node& map, const std::string& prefix, std::size_t depth,
                       std::size_t line) {
    if (depth > kYamlDepthMax) {
      return at_line(line, fmt::format("maps are nested deeper than {}", kYamlDepthMax));
    }
    // Empty maps count too: a graph of aliases could hold any number of them.
    if (++maps_ > kYamlEntriesMax) {
      return at_line(line, fmt::format("more than {} maps", kYamlEntriesMax));
    }
    for (const auto& item : map) {
      const auto item_line = static_cast<std::size_t>(std::max(0, item.first.Mark().line)) + 1;
      if (!item.first.IsScalar()) return at_line(item_line, "a key is not a plain name");
      const std::string key =
          prefix.empty() ? item.first.Scalar() : prefix + "." + item.first.Scalar();
      PARING_TRY_VOID(add(item.second, key, depth + 1, item_line));
    }
    return {};
  }

 private:
  std::size_t maps_ = 0;
};

}  // namespace

Result<std::vector<YamlEntry>> read_yaml(std::string_view text) {
  if (text.size() > kYamlBytesMax) {
    return invalid_argument(fmt::format("{} bytes, the limit is {}", text.size(), kYamlBytesMax));
  }
  try {
    const YAML::Node document = YAML::Load(std::string(text));
    if (!document.IsDefined() || document.IsNull()) return std::vector<YamlEntry>{};
    if (!document.IsMap()) {
      return at_line(1, "not a map of settings", "write lines such as 'threads: 2'");
    }
    Flattener flattener;
    PARING_TRY_VOID(flattener.add_map(document, "", 1, 1));
    return std::move(flattener.entries);
  } catch (const YAML::Exception& error) {
    const auto line = static_cast<std::size_t>(std::max(0, error.mark.line)) + 1;
    return at_line(line, escape_control(error.msg));
  } catch (const std::exception& error) {
    return invalid_argument(fmt::format("not readable as YAML: {}", escape_control(error.what())));
  }
}

std::string quote_yaml(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    if (static_cast<unsigned char>(c) < 0x20) {
      quoted += fmt::format("\\x{:02x}", c);
    } else {
      quoted += c;
    }
  }
  return quoted + "\"";
}

}  // namespace paring::config
