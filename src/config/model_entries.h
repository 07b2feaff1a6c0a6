// SPDX-License-Identifier: Apache-2.0
// The models that a configuration file names, which is no setting but a list. Stateless.
//
//   models:
//     chat:
//       source: models/chat.gguf
//       load: at_start            # default: on_request
//       context_tokens: 8192      # default: the setting of this name; so cache_tokens and
//       idle_unload_seconds: 600
//       lora:
//         legal: adapters/legal
//         french: {source: "hf:owner/name", scale: 0.5}
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "config/yaml.h"

namespace paring::config {

inline constexpr std::size_t kModelEntriesMax = 256;
inline constexpr std::size_t kModelAdaptersMax = 64;  // of one

struct ModelEntry {
  struct Adapter {
    std::string name;
    std::string source;
    double scale = 1;
    bool operator==(const Adapter&) const = default;
  };
  std::string name;
  std::string source;
  bool loads_at_start = false;
  std::optional<std::uint64_t> context_tokens = std::nullopt;
  std::optional<std::uint64_t> cache_tokens = std::nullopt;
  std::optional<std::uint64_t> idle_unload_seconds = std::nullopt;
  std::vector<Adapter> adapters = {};
  bool operator==(const ModelEntry&) const = default;
};

inline constexpr std::string_view kModelsKey = "models.";

// From those entries of a file whose keys begin with kModelsKey, in their order. InvalidArgument
// with the line for an unknown field, a value out of bounds, a model without a source, too many.
Result<std::vector<ModelEntry>> read_model_entries(std::span<const YamlEntry> entries);

// As YAML that read_yaml() and read_model_entries() read back; "" for none.
std::string print_model_entries(std::span<const ModelEntry> models);

}  // namespace paring::config
