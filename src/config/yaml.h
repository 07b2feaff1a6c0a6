// SPDX-License-Identifier: Apache-2.0
// The part of YAML that configuration files use: maps of maps of scalars, given back as flat dotted
// keys. The input is not trusted: size, depth and number of entries are bounded. Thread-safe.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace paring::config {

inline constexpr std::size_t kYamlBytesMax = 256 * 1024;
inline constexpr std::size_t kYamlDepthMax = 8;
inline constexpr std::size_t kYamlEntriesMax = 4096;

struct YamlEntry {
  std::string key;        // "serve.port"
  std::string value;      // as written, unquoted
  std::size_t line;       // from 1
  std::size_t depth = 1;  // names in the key, which may hold dots themselves
};

// Entries in the order of the text; an empty text has none. InvalidArgument, with the line, for
// text that is not YAML, for lists, empty values, keys that occur twice and exceeded limits.
Result<std::vector<YamlEntry>> read_yaml(std::string_view text);

// `text` as a double-quoted YAML scalar.
std::string quote_yaml(std::string_view text);

}  // namespace paring::config
